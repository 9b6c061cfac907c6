"""Which slots of a job are to be enqueued now: look-ahead, catch-up, overlap, jitter, expiry."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from functools import lru_cache
from itertools import islice, takewhile

from airflow_pgmq.core import iso8601
from airflow_pgmq.core.jobs import PeriodicJob

_TICK = timedelta(microseconds=1)
_SLOT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ")
#: Most slots of one job that are counted as left out by a policy: each must be computed to count it.
COUNTED = 1000
#: So many slots further on, a new walk is shorter.
NEAR = 100


@dataclass(frozen=True, slots=True)
class Window:
    """The time that a tick looks at, by the queue database's clock."""

    now: datetime
    #: Slots up to here are enqueued ahead of time.
    horizon: datetime
    #: A slot that is late by no more than this does not count as missed, under any catch-up policy.
    grace: timedelta


@dataclass(slots=True)
class Due:
    """The slots of one job to enqueue, and where the next tick continues."""

    slots: list[datetime]
    watermark: datetime
    next_slot: datetime | None
    #: Slots that the catch-up or overlap policy leaves out, as far as they were counted.
    dropped: int = 0

    @property
    def computed(self) -> int:
        """How many slots were computed, as a measure of the cost."""
        return len(self.slots) + self.dropped


def due(
    job: PeriodicJob,
    watermark: datetime,
    next_slot: datetime | None,
    window: Window,
    to_resend: Sequence[datetime] = (),
    skipped: Collection[datetime] = (),
) -> Due:
    """Slots in (watermark, horizon] that the job's policies let through, and the first slot after.

    Missed slots are searched from the newest back: after a long outage most of them are left out, and a tick
    must not compute all of them inside its transaction.

    :param to_resend: slots up to the horizon whose messages were taken back, or lost with their queue. Those
        that the job still has are sent under any policy for missed ones, up to `catch_up_max_age`
    :param skipped: slots that people left out: for the policies, the job does not have them
    """
    job = job.without(skipped)
    horizon = window.horizon if job.looks_ahead else min(window.now, window.horizon)
    known = max(watermark, next_slot - _TICK) if next_slot else watermark
    overdue = min(window.now - window.grace, horizon)
    slots: list[datetime] = []
    following = None
    for slot in _from(job, max(known, overdue)):
        if slot > horizon:
            following = slot
            break
        slots.append(slot)
    late: list[datetime] = []
    dropped = 0
    again, too_old = _to_resend(job, to_resend, window)
    if overdue > known:
        allowed = _allowed(job, late=sum(slot <= window.now for slot in slots))
        age = min(overdue - known, overdue - (window.now - job.catch_up_max_age))
        if allowed and age > timedelta(0):
            late = before(job, overdue, allowed, age)
        until = late[0] - _TICK if late else overdue
        dropped = _count(job, known, until, besides=sum(known < slot <= until for slot in again + too_old))
    dropped += len(too_old)
    slots = sorted({*again, *late, *slots}) if again else late + slots
    if not job.looks_ahead and len(slots) > 1:
        dropped += len(slots) - 1
        slots = [slots[-1]]
    return Due(slots, max(horizon, watermark), following, dropped)


def missed(job: PeriodicJob, watermark: datetime, next_slot: datetime | None, now: datetime) -> int:
    """How many slots passed unsent; at most `COUNTED` are counted."""
    known = max(watermark, next_slot - _TICK) if next_slot else watermark
    return _count(job, known, now)


def _to_resend(
    job: PeriodicJob, to_resend: Sequence[datetime], window: Window
) -> tuple[list[datetime], list[datetime]]:
    """Slots to send again that the job still has: those that are sent, and those that are too old."""
    if not to_resend:
        return [], []
    still = _those_of(job, sorted(to_resend))
    oldest = window.now - job.catch_up_max_age
    return [slot for slot in still if slot > oldest], [slot for slot in still if slot <= oldest]


def _those_of(job: PeriodicJob, asked: Sequence[datetime]) -> list[datetime]:
    """Which of these, ascending, are slots of the job; in one walk where they are close to each other."""
    found: list[datetime] = []
    walk: Iterator[datetime] = iter(())
    at: datetime | None = None
    for slot in asked:
        for _ in range(NEAR):
            if at is None or at >= slot:
                break
            at = next(walk, None)
        if at is None or at < slot:
            walk = _from(job, slot - _TICK)
            at = next(walk, None)
        if at == slot:
            found.append(slot)
    return found


def _allowed(job: PeriodicJob, late: int) -> int:
    """How many missed slots the catch-up policy allows, besides those that are only a little late."""
    if job.catch_up == "all":
        return max(0, job.catch_up_limit - late)
    return 1 if job.catch_up == "last" and not late else 0


def _count(job: PeriodicJob, after: datetime, until: datetime, *, besides: int = 0) -> int:
    """How many slots are in (after, until], less `besides`; at most `COUNTED` are counted."""
    if until <= after:
        return 0
    found = takewhile(lambda slot: slot <= until, _from(job, after))
    return sum(1 for _ in islice(found, COUNTED + besides)) - besides


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
    """The last slots up to `until`, ascending, no older than `furthest`."""
    start, end = job.instant(job.start), job.instant(job.end)
    earliest = max(until - furthest, start - _TICK) if start else until - furthest
    latest = min(until, end - _TICK) if end else until
    found = takewhile(lambda slot: slot > earliest, islice(job.slots.before(latest + _TICK), count))
    return list(found)[::-1]


def _from(job: PeriodicJob, after: datetime) -> Iterator[datetime]:
    start, end = job.instant(job.start), job.instant(job.end)
    for slot in job.slots.after(max(after, start - _TICK) if start else after):
        if end and slot >= end:
            return
        yield slot


def text(slot: datetime) -> str:
    """A slot as it is in keys and headers: UTC, whole seconds; as text it sorts by time."""
    return _text(slot.astimezone(timezone.utc))


# Each slot is in a key and in headers, and many jobs have the same slot.
@lru_cache(maxsize=1024)
def _text(at: datetime) -> str:
    return f"{at.replace(microsecond=0, tzinfo=None).isoformat()}Z"


def key(namespace: str, name: str, slot: datetime) -> str:
    """The dedup key of one slot: from the slot's instant, never from the clock."""
    return f"{namespace}/{name}/{text(slot)}"


def key_of_now(namespace: str, name: str, now: datetime) -> str:
    """The dedup key of a message that is sent at once, outside the slots: each time another one."""
    return f"{namespace}/{name}/now/{now.isoformat()}"


def of_key(dedup_key: str) -> tuple[str, str, datetime] | None:
    """Namespace, name and slot of such a key; None for any other."""
    parts = dedup_key.split("/")
    if len(parts) != 3 or not _SLOT.fullmatch(parts[2]):
        return None
    try:
        slot = iso8601.parse(parts[2])
    except ValueError:
        return None
    return parts[0], parts[1], slot


def has(job: PeriodicJob, slot: datetime) -> bool:
    """Whether that is a slot of the job, by its current definition."""
    return next(_from(job, slot - _TICK), None) == slot


def expires_at(job: PeriodicJob, slot: datetime) -> datetime | None:
    """When the slot's message expires; None: never. Jitter does not move it."""
    return None if job.ttl is None else slot + job.ttl


def is_expired(job: PeriodicJob, slot: datetime, visible_at: datetime, now: datetime) -> bool:
    """Whether the message has expired, or will have when it becomes visible."""
    expires = expires_at(job, slot)
    return expires is not None and expires <= max(visible_at, now)


def visible_at(job: PeriodicJob, slot: datetime, dedup_key: str) -> datetime:
    """The slot plus the job's jitter, a hash of job and slot: the same in every process and retry."""
    if not job.jitter:
        return slot
    share = int.from_bytes(hashlib.sha256(dedup_key.encode()).digest()[:8], "big") / 2**64
    return slot + job.jitter * share
