"""The last slots of a job and what became of each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal, TypeAlias

from airflow_pgmq.core import slots
from airflow_pgmq.core.dedup import DEDUP_WINDOW
from airflow_pgmq.core.jobs import PeriodicJob

State: TypeAlias = Literal["sent", "duplicate", "late", "missed", "waiting"]

SHOWN = 30
#: How far back slots are looked for.
FURTHEST = timedelta(days=31)
#: Where the look-ahead is shorter than the time between two ticks, the next tick sends a slot.
LATE = timedelta(minutes=2)
#: So long after a slot, the next tick may still send it.
PENDING = timedelta(minutes=2)


@dataclass(frozen=True, slots=True)
class Sent:
    """What is known of a slot that was sent."""

    first_at: datetime
    visible_at: datetime
    expires_at: datetime
    #: How often it was met again.
    repeats: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Stand:
    """How far a job is."""

    now: datetime
    watermark: datetime
    #: Since when the definition is in force: it says nothing of the time before.
    deployed_at: datetime
    paused: bool


def recent(job: PeriodicJob, now: datetime) -> list[datetime]:
    """The job's last slots up to now, oldest first."""
    return slots.before(job, now, SHOWN, FURTHEST)


def states(
    job: PeriodicJob,
    shown: Sequence[datetime],
    stand: Stand,
    sent: Mapping[datetime, Sent],
) -> list[tuple[datetime, State]]:
    """What became of the job's `recent` slots; those that nothing can be known of are left out."""
    known = {slot: sent[slot] for slot in shown if slot in sent}
    since = max(stand.deployed_at, stand.now - _window(known))
    found: list[tuple[datetime, State]] = []
    for slot in shown:
        if slot in known:
            found.append((slot, _sent(known[slot])))
        elif slot >= since and not _is_left_out(job, slot, stand):
            found.append((slot, _unsent(slot, stand)))
    return found


def _window(known: Mapping[datetime, Sent]) -> timedelta:
    """How long a sent slot is remembered, as far as the known ones tell."""
    return max(
        (each.expires_at - max(slot, each.first_at) for slot, each in known.items()), default=DEDUP_WINDOW
    )


def _sent(sent: Sent) -> State:
    if sent.repeats:
        return "duplicate"
    return "late" if sent.first_at > sent.visible_at + LATE else "sent"


def _is_left_out(job: PeriodicJob, slot: datetime, stand: Stand) -> bool:
    """Whether a job that waits for its last message was not to send: nothing was missed."""
    return job.overlap == "skip" and slot <= stand.watermark


def _unsent(slot: datetime, stand: Stand) -> State:
    """A slot that no policy left out and whose turn may still come is waiting."""
    if slot > stand.watermark and (stand.paused or slot > stand.now - PENDING):
        return "waiting"
    return "missed"
