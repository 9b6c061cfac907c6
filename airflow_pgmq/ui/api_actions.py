"""What those who may edit the Airflow connection can do to queues and jobs. Each is in the audit log."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, HTTPException
from pydantic import BaseModel, ConfigDict, Field

from airflow_pgmq.core import names, visible
from airflow_pgmq.db.statements import inspection
from airflow_pgmq.hooks import PgmqHook
from airflow_pgmq.services import overview
from airflow_pgmq.ui import audit, auth, database
from airflow_pgmq.ui.answers import Answer
from airflow_pgmq.ui.api_jobs import name_dags
from airflow_pgmq.ui.asking import AT_MOST, Ids, Whole, body_of
from airflow_pgmq.ui.auth import Asker, AskerDep

#: Seconds: PGMQ counts a queue before it empties it.
PURGE_TIMEOUT = 60

router = APIRouter(prefix="/api/{connection_id}", dependencies=auth.WRITE)


class _Body(BaseModel):
    #: A field that is not known is a mistake: without its ids a requeue would take everything.
    model_config = ConfigDict(extra="forbid")


class Chosen(_Body):
    """Messages by id."""

    msg_ids: Ids


class ToRequeue(_Body):
    """Messages by id, or the oldest so many of a dead letter queue."""

    msg_ids: Ids | None = None
    max_messages: Annotated[Whole, Field(ge=1, le=AT_MOST)] = AT_MOST
    source: Literal["dead_letters", "archive"] = "dead_letters"


class Confirmation(_Body):
    """The queue's name a second time, typed."""

    confirm: str


ChosenDep = Annotated[Chosen, Depends(body_of(Chosen))]
ToRequeueDep = Annotated[ToRequeue, Depends(body_of(ToRequeue))]
ConfirmationDep = Annotated[Confirmation, Depends(body_of(Confirmation))]


@router.post("/jobs/{namespace}/{name}/pause")
async def pause(asker: AskerDep, namespace: str, name: str) -> Answer:
    """Stop a job and take back what it enqueued ahead of time."""

    def work(hook: PgmqHook) -> dict[str, Any]:
        withdrawn = hook.pause_job(namespace, name)
        audit.note(asker, "pause", job=f"{namespace}/{name}", withdrawn=withdrawn)
        return overview.job(hook.client, namespace, name)

    return await _changed_job(asker, work)


@router.post("/jobs/{namespace}/{name}/resume")
async def resume(asker: AskerDep, namespace: str, name: str) -> Answer:
    """Let a job go on."""

    def work(hook: PgmqHook) -> dict[str, Any]:
        hook.resume_job(namespace, name)
        audit.note(asker, "resume", job=f"{namespace}/{name}")
        return overview.job(hook.client, namespace, name)

    return await _changed_job(asker, work)


@router.post("/jobs/{namespace}/{name}/run-now")
async def run_now(asker: AskerDep, namespace: str, name: str) -> Answer:
    """Send one message of a job at once."""

    def work(hook: PgmqHook) -> dict[str, Any]:
        sent = hook.run_job_now(namespace, name)
        audit.note(asker, "run_now", job=f"{namespace}/{name}", msg_id=sent.msg_id)
        return {"msg_id": sent.msg_id}

    return Answer(await database.write(asker, work), None)


@router.post("/queues/{queue_name}/requeue")
async def requeue(asker: AskerDep, queue_name: str, body: ToRequeueDep) -> Answer:
    """Bring dead letters back to where they came from, or archived messages back into the queue."""
    if body.source == "archive" and body.msg_ids is None:
        raise HTTPException(422, "From the archive, say which messages: msg_ids.")
    if body.source == "dead_letters" and not names.is_dead_letter_queue(queue_name) and body.msg_ids is None:
        raise HTTPException(422, f"{queue_name} is no dead letter queue: say which messages, by msg_ids.")

    def work(hook: PgmqHook) -> dict[str, int]:
        left = {}
        if body.source == "archive":
            moved: Iterable[int] = hook.requeue(queue_name, source="archive", msg_ids=body.msg_ids)
        else:
            moved, waiting = _requeue_dead_letters(hook, queue_name, body.msg_ids, body.max_messages)
            left = {"left": waiting}
        return _noted(asker, "requeue", queue_name, moved, source=body.source) | left

    return Answer(await database.write(asker, work), None)


@router.post("/queues/{queue_name}/release")
async def release(asker: AskerDep, queue_name: str, body: ChosenDep) -> Answer:
    """Make delayed messages and those in flight visible now."""

    def work(hook: PgmqHook) -> dict[str, int]:
        return _noted(asker, "release", queue_name, hook.release(queue_name, body.msg_ids))

    return Answer(await database.write(asker, work), None)


@router.post("/queues/{queue_name}/delete")
async def delete(asker: AskerDep, queue_name: str, body: ChosenDep) -> Answer:
    """Delete messages without a trace."""

    def work(hook: PgmqHook) -> dict[str, int]:
        return _noted(asker, "delete", queue_name, hook.delete(queue_name, body.msg_ids))

    return Answer(await database.write(asker, work), None)


@router.post("/queues/{queue_name}/purge")
async def purge(asker: AskerDep, queue_name: str, body: ConfirmationDep) -> Answer:
    """Remove every message of a queue."""
    if body.confirm != queue_name:
        raise HTTPException(422, "Type the queue's name to purge it.")

    def work(hook: PgmqHook) -> dict[str, int]:
        changed = hook.purge(queue_name)
        audit.note(asker, "purge", queue=queue_name, changed=changed)
        return {"changed": changed}

    return Answer(await database.write(asker, work, PURGE_TIMEOUT), None)


def _noted(
    asker: Asker, event: str, queue_name: str, msg_ids: Iterable[int], **details: Any
) -> dict[str, int]:
    done = sorted(msg_ids)
    audit.note(asker, event, queue=queue_name, changed=len(done), msg_ids=audit.ranges(done), **details)
    return {"changed": len(done)}


def _requeue_dead_letters(
    hook: PgmqHook, queue_name: str, msg_ids: Sequence[int] | None, max_messages: int
) -> tuple[list[int], int]:
    """Several queues may share a dead letter queue: each message knows where it came from.

    Letters of a queue that is gone stay, and are counted.
    """
    origins = hook.client.run(lambda: inspection.dead_letter_origins(queue_name, msg_ids, max_messages))
    known = {queue.queue_name for queue in hook.list_queues() if names.is_safe(queue.queue_name)}
    reached = [origin for origin in origins if origin in known]
    moved: list[int] = []
    with hook.client.transaction() as conn:
        for origin in reached:
            moved += hook.requeue(
                origin,
                dead_letter_queue=queue_name,
                msg_ids=msg_ids,
                max_messages=max_messages - len(moved),
                conn=conn,
            )
    return moved, sum(origins.values()) - sum(origins[origin] for origin in reached)


async def _changed_job(asker: Asker, work: Callable[[PgmqHook], dict[str, Any]]) -> Answer:
    job = await database.write(asker, work)
    await name_dags([job])
    return await database.off_the_loop(lambda: Answer(job, asker.sees(visible.JOB)))
