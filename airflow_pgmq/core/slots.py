"""Which slots of a job are to be enqueued now: look-ahead, catch-up, overlap, jitter, expiry."""

from __future__ import annotations

import hashlib
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import islice, takewhile

from airflow_pgmq.core.jobs import PeriodicJob

_TICK = timedelta(microseconds=1)


@dataclass(frozen=True, slots=True)
class Window:
    """The time that a tick looks at, by the queue database's clock."""

    now: datetime
    #: Slots up to here are enqueued ahead of time.
    horizon: datetime
    #: A slot that is late by no more than this is no missed slot, whatever the catch-up policy.
    grace: timedelta


@dataclass(frozen=True, slots=True)
class Due:
    """The slots of one job to enqueue, and where the next tick goes on."""

    slots: list[datetime]
    watermark: datetime
    next_slot: datetime | None
    #: Slots that the catch-up or overlap policy leaves out, as far as they were counted.
    dropped: int = 0


def due(job: PeriodicJob, watermark: datetime, next_slot: datetime | None, window: Window) -> Due:
    """Slots in (watermark, horizon] that the job's policies let through, and the first slot after."""
    horizon = window.now if job.overlap == "skip" else window.horizon
    known = max(watermark, next_slot - _TICK) if next_slot else watermark
    slots: deque[datetime] = deque()
    late = dropped = 0
    following = None
    for slot in _from(job, _floor(job, known, window)):
        if slot > horizon:
            following = slot
            break
        slots.append(slot)
        if slot <= window.now:
            late += 1
            if late > job.catch_up_limit and slots[0] <= window.now - window.grace:
                slots.popleft()
                dropped += 1
    if job.catch_up == "last" and not (slots and slots[0] <= window.now):
        missed = _last(job, max(known, window.now - job.catch_up_max_age), window.now - window.grace)
        if missed:
            slots.appendleft(missed)
    if job.overlap == "skip" and len(slots) > 1:
        dropped += len(slots) - 1
        slots = deque([slots[-1]])
    return Due(list(slots), max(horizon, watermark), following, dropped)


def between(job: PeriodicJob, start: datetime, end: datetime) -> Iterator[datetime]:
    """Slots in [start, end), for a backfill run's data interval."""
    for slot in _from(job, start - _TICK):
        if slot >= end:
            return
        yield slot


def upcoming(job: PeriodicJob, now: datetime, count: int) -> list[datetime]:
    """The next slots after now."""
    return list(islice(_from(job, now), count))


def before(job: PeriodicJob, until: datetime, count: int, furthest: timedelta) -> list[datetime]:
    """The last slots up to `until`, ascending: looks back in growing steps, as dense crons need few."""
    span = timedelta(minutes=1)
    while True:
        span = min(span, furthest)
        found: deque[datetime] = deque(maxlen=count)
        found.extend(takewhile(lambda slot: slot <= until, _from(job, until - span)))
        if len(found) == count or span == furthest:
            return list(found)
        span *= 8


def _floor(job: PeriodicJob, known: datetime, window: Window) -> datetime:
    """Slots up to here are not looked at again, by the catch-up policy."""
    age = job.catch_up_max_age if job.catch_up == "all" else window.grace
    return max(known, window.now - max(age, window.grace))


def _from(job: PeriodicJob, after: datetime) -> Iterator[datetime]:
    start, end = job.instant(job.start), job.instant(job.end)
    for slot in job.slots.after(max(after, start - _TICK) if start else after):
        if end and slot >= end:
            return
        yield slot


def _last(job: PeriodicJob, after: datetime, until: datetime) -> datetime | None:
    start, end = job.instant(job.start), job.instant(job.end)
    return job.slots.last(
        max(after, start - _TICK) if start else after, min(until, end - _TICK) if end else until
    )


def text(slot: datetime) -> str:
    """A slot as it stands in keys and headers: UTC, whole seconds, sorts as it is."""
    return slot.strftime("%Y-%m-%dT%H:%M:%SZ")


def key(namespace: str, name: str, slot: datetime) -> str:
    """The dedup key of one slot: from the logical instant, never from the clock."""
    return f"{namespace}/{name}/{text(slot)}"


def visible_at(job: PeriodicJob, slot: datetime, dedup_key: str) -> datetime:
    """The slot plus the job's jitter, a hash of job and slot: the same in every process and retry."""
    if not job.jitter:
        return slot
    share = int.from_bytes(hashlib.sha256(dedup_key.encode()).digest()[:8], "big") / 2**64
    return slot + job.jitter * share
