"""What those who may edit the Airflow connection can do to queues and jobs. Each is in the audit log."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Annotated, Any, Literal, TypeVar

from fastapi import APIRouter, HTTPException
from pydantic import BaseModel, Field

from airflow_pgmq import overview
from airflow_pgmq.core import names
from airflow_pgmq.hooks import PgmqHook
from airflow_pgmq.statements import showing
from airflow_pgmq.ui import audit, auth, database
from airflow_pgmq.ui.answers import Answer
from airflow_pgmq.ui.api_jobs import name_dags
from airflow_pgmq.ui.auth import GetUserDep

T = TypeVar("T")

#: Messages that one request changes.
AT_MOST = 1000
#: Seconds: PGMQ counts a queue before it empties it.
PURGE_TIMEOUT = 60

router = APIRouter(prefix="/api/{connection_id}", dependencies=auth.WRITE)

Ids = Annotated[list[Annotated[int, Field(ge=0, lt=2**63)]], Field(min_length=1, max_length=AT_MOST)]


class Chosen(BaseModel):
    """Messages by id."""

    msg_ids: Ids


class ToRequeue(BaseModel):
    """Messages by id, or the oldest so many of a dead letter queue."""

    msg_ids: Ids | None = None
    limit: Annotated[int, Field(ge=1, le=AT_MOST)] = AT_MOST
    where: Literal["queue", "archive"] = "queue"


class Confirmation(BaseModel):
    """The queue's name a second time, typed."""

    confirm: str


@router.post("/jobs/{namespace}/{name}/pause")
async def pause(user: GetUserDep, connection_id: str, namespace: str, name: str) -> Answer:
    """Stop a job and take back what it enqueued ahead of time."""

    def work(hook: PgmqHook) -> dict[str, Any]:
        withdrawn = hook.pause_job(namespace, name)
        audit.note(user, "pause", connection=connection_id, job=f"{namespace}/{name}", withdrawn=withdrawn)
        return overview.job(hook.client, namespace, name)

    return await _changed_job(connection_id, work)


@router.post("/jobs/{namespace}/{name}/resume")
async def resume(user: GetUserDep, connection_id: str, namespace: str, name: str) -> Answer:
    """Let a job go on."""

    def work(hook: PgmqHook) -> dict[str, Any]:
        hook.resume_job(namespace, name)
        audit.note(user, "resume", connection=connection_id, job=f"{namespace}/{name}")
        return overview.job(hook.client, namespace, name)

    return await _changed_job(connection_id, work)


@router.post("/jobs/{namespace}/{name}/run-now")
async def run_now(user: GetUserDep, connection_id: str, namespace: str, name: str) -> Answer:
    """Send one message of a job at once."""

    def work(hook: PgmqHook) -> dict[str, Any]:
        sent = hook.run_job_now(namespace, name)
        audit.note(user, "run_now", connection=connection_id, job=f"{namespace}/{name}", msg_id=sent.msg_id)
        return {"msg_id": sent.msg_id}

    return Answer(await database.write(connection_id, work))


@router.post("/queues/{queue_name}/requeue")
async def requeue(user: GetUserDep, connection_id: str, queue_name: str, body: ToRequeue) -> Answer:
    """Bring dead letters back to where they came from, or archived messages back into the queue."""
    if body.where == "archive" and body.msg_ids is None:
        raise HTTPException(422, "From the archive, say which messages: msg_ids.")
    if body.where == "queue" and not names.is_dead_letter_queue(queue_name) and body.msg_ids is None:
        raise HTTPException(422, f"{queue_name} is no dead letter queue: say which messages, by msg_ids.")

    def work(hook: PgmqHook) -> dict[str, int]:
        if body.where == "archive":
            return {"changed": len(hook.requeue(queue_name, from_archive=True, msg_ids=body.msg_ids))}
        return _requeue_dead_letters(hook, queue_name, body.msg_ids, body.limit)

    return await _changed(user, "requeue", connection_id, queue_name, work, where=body.where)


@router.post("/queues/{queue_name}/release")
async def release(user: GetUserDep, connection_id: str, queue_name: str, body: Chosen) -> Answer:
    """Make delayed messages and those in flight visible now."""
    return await _changed(
        user,
        "release",
        connection_id,
        queue_name,
        lambda hook: {"changed": len(hook.release(queue_name, body.msg_ids))},
    )


@router.post("/queues/{queue_name}/delete")
async def delete(user: GetUserDep, connection_id: str, queue_name: str, body: Chosen) -> Answer:
    """Delete messages without a trace."""
    return await _changed(
        user,
        "delete",
        connection_id,
        queue_name,
        lambda hook: {"changed": len(hook.delete(queue_name, body.msg_ids))},
    )


@router.post("/queues/{queue_name}/purge")
async def purge(user: GetUserDep, connection_id: str, queue_name: str, body: Confirmation) -> Answer:
    """Remove every message of a queue."""
    if body.confirm != queue_name:
        raise HTTPException(422, "Type the queue's name to purge it.")
    return await _changed(
        user,
        "purge",
        connection_id,
        queue_name,
        lambda hook: {"changed": hook.purge(queue_name)},
        timeout=PURGE_TIMEOUT,
    )


def _requeue_dead_letters(
    hook: PgmqHook, queue_name: str, msg_ids: Sequence[int] | None, limit: int
) -> dict[str, int]:
    """Several queues may share a dead letter queue: each message knows where it came from.

    Letters of a queue that is gone stay, and are counted.
    """
    origins = hook.client.run(lambda: showing.dead_letter_origins(queue_name, msg_ids, limit))
    known = {queue.queue_name for queue in hook.list_queues() if names.is_safe(queue.queue_name)}
    reached = [origin for origin in origins if origin in known]
    moved = 0
    with hook.client.transaction() as conn:
        for origin in reached:
            moved += len(
                hook.requeue(
                    origin, dead_letter_queue=queue_name, msg_ids=msg_ids, limit=limit - moved, conn=conn
                )
            )
    return {"changed": moved, "left": sum(origins.values()) - sum(origins[origin] for origin in reached)}


async def _changed_job(connection_id: str, work: Callable[[PgmqHook], dict[str, Any]]) -> Answer:
    job = await database.write(connection_id, work)
    await name_dags([job])
    return Answer(job)


async def _changed(
    user: Any,
    event: str,
    connection_id: str,
    queue_name: str,
    work: Callable[[PgmqHook], dict[str, int]],
    timeout: int | None = None,
    **details: Any,
) -> Answer:
    def noted(hook: PgmqHook) -> dict[str, int]:
        done = work(hook)
        audit.note(user, event, connection=connection_id, queue=queue_name, **done, **details)
        return done

    return Answer(await database.write(connection_id, noted, timeout))
