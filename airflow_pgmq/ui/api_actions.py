"""Actions on queues and jobs, for users who may edit the Airflow connection. The audit log has each one."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, HTTPException
from pydantic import AfterValidator, Field

from airflow_pgmq.core import iso8601, names, slots, visible
from airflow_pgmq.core.pauses import MAX_REASON
from airflow_pgmq.db.statements import inspection
from airflow_pgmq.hooks import PgmqHook
from airflow_pgmq.services import overview
from airflow_pgmq.ui import audit, auth, database
from airflow_pgmq.ui.api_jobs import name_dags
from airflow_pgmq.ui.auth import Requester, RequesterDep
from airflow_pgmq.ui.requests import EXPECTED, MAX_IDS, Body, Ids, WholeNumber, body_of, without_nul
from airflow_pgmq.ui.responses import ApiResponse

#: Seconds. PGMQ counts the messages of a queue before it purges it.
PURGE_TIMEOUT = 60
#: Other slots are none, and some of them have no UTC.
YEARS = range(1970, 3000)

router = APIRouter(prefix="/api/{connection_id}", dependencies=auth.WRITE)


class Chosen(Body):
    """Messages by id."""

    msg_ids: Ids


class ToRequeue(Body):
    """Messages by id, or the oldest `max_messages` of a dead letter queue."""

    msg_ids: Ids | None = None
    max_messages: Annotated[WholeNumber, Field(ge=1, le=MAX_IDS)] = MAX_IDS
    source: Literal["dead_letters", "archive"] = "dead_letters"


class Confirmation(Body):
    """The queue's name, typed again by the user."""

    confirm: str


class Pause(Body):
    """Why a queue is paused; everybody sees it."""

    reason: Annotated[str, Field(max_length=MAX_REASON), AfterValidator(without_nul)] = ""


class Slot(Body):
    """A slot of a job."""

    slot: str


ChosenDep = Annotated[Chosen, Depends(body_of(Chosen))]
ToRequeueDep = Annotated[ToRequeue, Depends(body_of(ToRequeue))]
PauseDep = Annotated[Pause, Depends(body_of(Pause))]
SlotDep = Annotated[Slot, Depends(body_of(Slot))]
ConfirmationDep = Annotated[Confirmation, Depends(body_of(Confirmation))]


@router.post("/jobs/{namespace}/{name}/pause")
async def pause(requester: RequesterDep, namespace: str, name: str) -> ApiResponse:
    """Stop a job and take back what it enqueued ahead of time."""

    def work(hook: PgmqHook) -> dict[str, Any]:
        taken_back = hook.pause_job(namespace, name)
        audit.note(requester, "pause", job=f"{namespace}/{name}", taken_back=taken_back)
        return overview.job(hook.client, namespace, name)

    return await _changed_job(requester, work)


@router.post("/jobs/{namespace}/{name}/resume")
async def resume(requester: RequesterDep, namespace: str, name: str) -> ApiResponse:
    """Resume a paused job."""

    def work(hook: PgmqHook) -> dict[str, Any]:
        hook.resume_job(namespace, name)
        audit.note(requester, "resume", job=f"{namespace}/{name}")
        return overview.job(hook.client, namespace, name)

    return await _changed_job(requester, work)


@router.post("/jobs/{namespace}/{name}/run-now")
async def run_now(requester: RequesterDep, namespace: str, name: str) -> ApiResponse:
    """Send one message of a job at once."""

    def work(hook: PgmqHook) -> dict[str, Any]:
        sent = hook.run_job_now(namespace, name)
        audit.note(requester, "run_now", job=f"{namespace}/{name}", msg_id=sent.msg_id)
        return {"msg_id": sent.msg_id}

    return ApiResponse(await database.write(requester, work), None)


@router.post("/jobs/{namespace}/{name}/skip")
async def skip(requester: RequesterDep, namespace: str, name: str, body: SlotDep) -> ApiResponse:
    """Leave out one slot of a job."""
    slot = iso8601.of_header(body.slot)
    if slot is None or slot.year not in YEARS:
        raise HTTPException(422, EXPECTED["body.slot"])

    def work(hook: PgmqHook) -> dict[str, Any]:
        hook.skip_slot(namespace, name, slot)
        audit.note(requester, "skip_slot", job=f"{namespace}/{name}", slot=slots.text(slot))
        return overview.job(hook.client, namespace, name)

    return await _changed_job(requester, work)


@router.post("/queues/{queue_name}/pause")
async def pause_queue(requester: RequesterDep, queue_name: str, body: PauseDep) -> ApiResponse:
    """Pause a queue; one that is paused stays as it was."""

    def work(hook: PgmqHook) -> dict[str, Any]:
        by = requester.user.get_name()
        if changed := hook.pause_queue(queue_name, body.reason, paused_by=by):
            audit.note(requester, "pause_queue", queue=queue_name, reason=body.reason)
        return {"changed": changed}

    return ApiResponse(await database.write(requester, work), None)


@router.post("/queues/{queue_name}/resume")
async def resume_queue(requester: RequesterDep, queue_name: str) -> ApiResponse:
    """Let a paused queue be read again."""

    def work(hook: PgmqHook) -> dict[str, Any]:
        if changed := hook.resume_queue(queue_name):
            audit.note(requester, "resume_queue", queue=queue_name)
        return {"changed": changed}

    return ApiResponse(await database.write(requester, work), None)


@router.post("/queues/{queue_name}/requeue")
async def requeue(requester: RequesterDep, queue_name: str, body: ToRequeueDep) -> ApiResponse:
    """Requeue dead letters into the queues they came from, or archived messages into the queue."""
    if body.source == "archive" and body.msg_ids is None:
        raise HTTPException(422, "To requeue from the archive, name the messages in msg_ids.")
    if body.source == "dead_letters" and not names.is_dead_letter_queue(queue_name) and body.msg_ids is None:
        raise HTTPException(422, f"{queue_name} is not a dead letter queue: name the messages in msg_ids.")

    def work(hook: PgmqHook) -> dict[str, int]:
        left = {}
        if body.source == "archive":
            moved: Iterable[int] = hook.requeue(queue_name, source="archive", msg_ids=body.msg_ids)
        else:
            moved, waiting = _requeue_dead_letters(hook, queue_name, body.msg_ids, body.max_messages)
            left = {"left": waiting}
        return _noted(requester, "requeue", queue_name, moved, source=body.source) | left

    return ApiResponse(await database.write(requester, work), None)


@router.post("/queues/{queue_name}/release")
async def release(requester: RequesterDep, queue_name: str, body: ChosenDep) -> ApiResponse:
    """Make delayed messages and those in flight visible now."""

    def work(hook: PgmqHook) -> dict[str, int]:
        return _noted(requester, "release", queue_name, hook.release(queue_name, body.msg_ids))

    return ApiResponse(await database.write(requester, work), None)


@router.post("/queues/{queue_name}/delete")
async def delete(requester: RequesterDep, queue_name: str, body: ChosenDep) -> ApiResponse:
    """Delete messages without archiving them."""

    def work(hook: PgmqHook) -> dict[str, int]:
        return _noted(requester, "delete", queue_name, hook.delete(queue_name, body.msg_ids))

    return ApiResponse(await database.write(requester, work), None)


@router.post("/queues/{queue_name}/purge")
async def purge(requester: RequesterDep, queue_name: str, body: ConfirmationDep) -> ApiResponse:
    """Remove every message of a queue."""
    if body.confirm != queue_name:
        raise HTTPException(422, "Type the queue's name to purge it.")

    def work(hook: PgmqHook) -> dict[str, int]:
        changed = hook.purge(queue_name)
        audit.note(requester, "purge", queue=queue_name, changed=changed)
        return {"changed": changed}

    return ApiResponse(await database.write(requester, work, PURGE_TIMEOUT), None)


def _noted(
    requester: Requester, event: str, queue_name: str, msg_ids: Iterable[int], **details: Any
) -> dict[str, int]:
    done = sorted(msg_ids)
    audit.note(requester, event, queue=queue_name, changed=len(done), msg_ids=audit.ranges(done), **details)
    return {"changed": len(done)}


def _requeue_dead_letters(
    hook: PgmqHook, queue_name: str, msg_ids: Sequence[int] | None, max_messages: int
) -> tuple[list[int], int]:
    """Requeue each dead letter into the queue it came from: several queues may share a dead letter queue.

    Dead letters of a dropped queue stay where they are.
    :return: the ids that were moved, and how many dead letters stayed
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


async def _changed_job(requester: Requester, work: Callable[[PgmqHook], dict[str, Any]]) -> ApiResponse:
    job = await database.write(requester, work)
    await name_dags([job])
    return await database.in_thread(lambda: ApiResponse(job, requester.sees(visible.JOB)))
