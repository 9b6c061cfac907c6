"""The last slots of a job and the state of each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal, TypeAlias

from airflow_pgmq.core import slots
from airflow_pgmq.core.dedup import DEDUP_WINDOW
from airflow_pgmq.core.jobs import PeriodicJob

State: TypeAlias = Literal["sent", "duplicate", "late", "missed", "waiting", "skipped"]

SHOWN = 30
#: How far back slots are shown.
FURTHEST = timedelta(days=31)
#: A slot that is sent later than this is late: the next tick sends slots that were not sent ahead.
LATE = timedelta(minutes=2)
#: For this long after a slot, the next tick may still send it.
PENDING = timedelta(minutes=2)


@dataclass(frozen=True, slots=True)
class Sent:
    """What is known of a slot that was sent."""

    first_at: datetime
    visible_at: datetime
    expires_at: datetime
    #: How often it was enqueued again: a duplicate.
    repeats: int = 0
    #: Left out on purpose, by hand.
    skipped: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """How far a job is."""

    now: datetime
    watermark: datetime
    #: Since when the definition is in force; what the job did before is not known.
    deployed_at: datetime
    paused: bool


def recent(job: PeriodicJob, now: datetime) -> list[datetime]:
    """The job's last slots up to now, oldest first."""
    return slots.before(job, now, SHOWN, FURTHEST)


def states(
    job: PeriodicJob,
    shown: Sequence[datetime],
    progress: Progress,
    sent: Mapping[datetime, Sent],
) -> list[tuple[datetime, State]]:
    """The states of the job's `recent` slots; those whose state cannot be known are left out."""
    known = {slot: sent[slot] for slot in shown if slot in sent}
    since = max(progress.deployed_at, progress.now - _window(known))
    found: list[tuple[datetime, State]] = []
    for slot in shown:
        if slot in known:
            found.append((slot, state(known[slot])))
        elif slot >= since and not _is_left_out(job, slot, progress):
            found.append((slot, _unsent(slot, progress)))
    return found


def _window(known: Mapping[datetime, Sent]) -> timedelta:
    """How long a sent slot is remembered, as far as the known ones show it."""
    return max(
        (each.expires_at - max(slot, each.first_at) for slot, each in known.items()), default=DEDUP_WINDOW
    )


def state(sent: Sent) -> State:
    """What became of a slot that was sent."""
    if sent.skipped:
        return "skipped"
    if sent.repeats:
        return "duplicate"
    return "late" if sent.first_at > sent.visible_at + LATE else "sent"


def _is_left_out(job: PeriodicJob, slot: datetime, progress: Progress) -> bool:
    """Whether the job skipped the slot because its last message was still queued: it was not missed."""
    return not job.looks_ahead and slot <= progress.watermark


def _unsent(slot: datetime, progress: Progress) -> State:
    """Waiting, if the next tick may still send the slot; else missed."""
    if slot > progress.watermark and (progress.paused or slot > progress.now - PENDING):
        return "waiting"
    return "missed"
