"""Pause, resume, run now, remove: what users do to periodic jobs from outside their Dag."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from typing import Any, get_args

from airflow_pgmq.core import jobs, slot_messages, slots, stored_jobs
from airflow_pgmq.core.batch import Batch
from airflow_pgmq.core.dedup import DEDUP_WINDOW
from airflow_pgmq.core.job_problems import MAX_JITTER
from airflow_pgmq.core.jobs import CatchUp
from airflow_pgmq.core.message_template import Renderer
from airflow_pgmq.core.send_results import SendResult
from airflow_pgmq.db.statements import Flow, periodic, sending
from airflow_pgmq.errors import InvalidArgument, InvalidJobs, JobNotFound
from airflow_pgmq.services import calendars

_TICK = timedelta(microseconds=1)


def pause(namespace: str, name: str) -> Flow[int]:
    """Stop a job and take back what it enqueued ahead of time; returns how many messages."""
    locked, _ = yield from _locked(namespace, name)
    now = locked["now"]
    taken_back = yield from periodic.take_back(namespace, [name], after=now - MAX_JITTER, now=now)
    count, first_slot = taken_back.get(name, (0, None))
    yield periodic.pause(namespace, name, first_slot)
    return count


def resume(namespace: str, name: str, catch_up: CatchUp | None = None) -> Flow[None]:
    """Let a job continue; its next tick catches up by the job's policy, or by this one.

    :raises InvalidJobs: with catch_up: newer code has deployed the job, and this code cannot read it
    """
    locked, definition = yield from _locked(namespace, name)
    now = locked["now"]
    if catch_up is not None:
        if catch_up not in get_args(CatchUp):
            raise InvalidArgument(f"catch_up must be 'all', 'last' or 'none', not {catch_up!r}.")
        state = yield periodic.definition(namespace, name)
        job = replace(_read(name, definition), catch_up=catch_up)
        job = job.on((yield from calendars.needed([job])))
        window = slots.Window(now, now, timedelta(0))
        left_out = yield periodic.skipped(namespace, name, now)
        since = min(state["watermark"], now)
        missed = slots.due(job, since, state["next_slot"], window, skipped=left_out).slots
        taken_back = yield periodic.slots_to_resend(namespace, name, now)
        wanted = sorted({*missed, *taken_back})
        wanted = wanted if catch_up == "all" else wanted[-1:] if catch_up == "last" else []
        yield periodic.catch_up(namespace, name, wanted, now)
    yield periodic.resume(namespace, name)


def run_now(
    namespace: str,
    name: str,
    source: dict[str, Any] | None = None,
    *,
    slot: datetime | None = None,
    renderer: Renderer | None = None,
) -> Flow[SendResult]:
    """Send one message of the job at once, outside its slots, as it was last deployed.

    :param slot: it is that of this slot; by default of now
    :raises InvalidArgument: that is not a slot of the job
    :raises InvalidJobs: newer code has deployed it, and this code cannot read it
    :raises InvalidMessage: a template of the job fails
    """
    locked, definition = yield from _locked(namespace, name)
    now = locked["now"]
    job = _read(name, definition)
    job = job.on((yield from calendars.needed([job])))
    if slot is not None:
        slot = _own_slot(namespace, job, slot, now)
    try:
        item = slot_messages.at_once(job, slot or now, now, namespace, source, renderer)
        batch = Batch([item.message], headers=[item.headers], keys=[item.key])
    except stored_jobs.UNREADABLE as exc:
        raise _unreadable(name, exc) from exc
    results: list[SendResult] = yield from sending.keyed(
        job.queue_name, batch, scope="once", on_duplicate="skip", window=timedelta(days=1)
    )
    return results[0]


def skip(namespace: str, name: str, slot: datetime) -> Flow[None]:
    """Leave out one slot: no tick, backfill or catch-up sends it. Of a message that waits, nobody knows yet.

    :raises InvalidArgument: that is not a slot of the job, or readers may have its message already
    :raises InvalidJobs: newer code has deployed it, and this code cannot read it
    """
    locked, definition = yield from _locked(namespace, name)
    now = locked["now"]
    job = _read(name, definition)
    slot = _own_slot(namespace, job.on((yield from calendars.needed([job]))), slot, now)
    yield from periodic.take_back(namespace, [name], after=slot - _TICK, until=slot, now=now)
    # For as long as a catch-up or a backfill may look back to it.
    window = max(locked["dedup_window"] or DEDUP_WINDOW, job.catch_up_max_age)
    queue_name, msg_id = yield periodic.skip_slot(namespace, name, slot, now, window)
    if queue_name:
        raise InvalidArgument(
            f"Slot {slots.text(slot)} of job {namespace}/{name} was sent as message {msg_id} of queue "
            f"{queue_name!r}, which readers may have seen; delete that message instead."
        )


def _own_slot(namespace: str, job: jobs.PeriodicJob, slot: datetime, now: datetime) -> datetime:
    """The slot in UTC, if it is one of the job."""
    _check_zone("slot", slot)
    if not slots.has(job, slot):
        raise InvalidArgument(
            f"{slot.isoformat()} is not a slot of job {namespace}/{job.name}; the next ones are "
            f"{', '.join(each.isoformat() for each in slots.upcoming(job, now, 3)) or 'none'}."
        )
    return slot.astimezone(timezone.utc)


def _check_zone(name: str, at: datetime) -> None:
    if at.tzinfo is None:
        raise InvalidArgument(f"{name}= needs a time zone, which {at} lacks.")


def _read(name: str, definition: Mapping[str, Any]) -> jobs.PeriodicJob:
    try:
        return stored_jobs.read(name, definition)
    except stored_jobs.UNREADABLE as exc:
        raise _unreadable(name, exc) from exc


def _unreadable(name: str, exc: Exception) -> InvalidJobs:
    why = f"this version of airflow_pgmq cannot read it as it was deployed ({stored_jobs.unreadable(exc)})"
    return InvalidJobs({name: [why]})


def next_slots(job: jobs.PeriodicJob, n: int, after: datetime | None) -> Flow[list[datetime]]:
    """The slots of a job after an instant; None: the database's time.

    :raises CalendarNotFound: one of its calendars does not exist
    """
    if after is not None:
        _check_zone("after", after)
    days = yield from calendars.needed([job])
    since: datetime = after or (yield periodic.clock())
    return slots.upcoming(job.on(days), since, n)


def remove(namespace: str) -> Flow[int]:
    """Forget a namespace whose Dag is gone, and take back what it enqueued ahead of time."""
    locked = yield periodic.lock_namespace(namespace)
    if locked is None:
        return 0
    names = [job.name for job in (yield periodic.stored_jobs(namespace))]
    now = locked["now"]
    taken_back = yield from periodic.take_back(namespace, names, after=now - MAX_JITTER, now=now)
    yield periodic.remove_namespace(namespace)
    return sum(count for count, _ in taken_back.values())


def _locked(namespace: str, name: str) -> Flow[tuple[Mapping[str, Any], Mapping[str, Any]]]:
    """The namespace's row with the time, and the job's definition, under the namespace's lock."""
    locked = yield periodic.lock_namespace(namespace)
    row = yield periodic.definition(namespace, name)
    if locked is None or row is None:
        raise JobNotFound(namespace, name)
    return locked, row["definition"]
