"""The next days of a job: how many slots each has, and what is left out, with the reason."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import date, datetime, time, timedelta, tzinfo
from itertools import takewhile

from airflow_pgmq.core import slots
from airflow_pgmq.core.jobs import PeriodicJob
from airflow_pgmq.core.schedule.zones import instant, time_zone

DAYS = 35
#: Slots that are computed, each some 15 microseconds: for the days behind them nothing is known.
MOST = 10_000
SKIPPED = "skipped by hand"


@dataclass(frozen=True, slots=True)
class Day:
    """A day in the job's time zone; of today, what is still to come."""

    day: date
    #: None: not all of them were counted.
    slots: int | None
    first: datetime | None
    #: How many slots the schedule would have, by the reason why they are not there.
    left_out: Mapping[str, int]
    #: Why the whole day is off, also if the schedule has nothing there.
    off: str | None


def days(job: PeriodicJob, skipped: Collection[datetime], now: datetime) -> list[Day]:
    """The next `DAYS` days of a job with the days of its calendars.

    :param skipped: slots that people left out
    """
    zone = time_zone(job.timezone)
    today = now.astimezone(zone).date()
    shown = [today + timedelta(days=ahead) for ahead in range(DAYS)]
    end = instant(datetime.combine(shown[-1] + timedelta(days=1), time()), zone)
    found, counted = _by_day(job.without(skipped), now, end, zone)
    left_out = _left_out(job, now, end, zone) if job.exclude or job.business_day else defaultdict(Counter)
    for slot in skipped:
        if now < slot < end:
            left_out[slot.astimezone(zone).date()][SKIPPED] += 1
    return [
        Day(
            day,
            len(found[day]) if counted is None or day < counted else None,
            min(found[day], default=None),
            dict(left_out[day]),
            job.exclusions.day_off(day),
        )
        for day in shown
    ]


def _by_day(
    job: PeriodicJob, now: datetime, end: datetime, zone: tzinfo
) -> tuple[dict[date, list[datetime]], date | None]:
    """The slots of each day, and the first day of which not all were counted."""
    found: dict[date, list[datetime]] = defaultdict(list)
    coming = slots.upcoming(job, now, MOST + 1)
    for slot in takewhile(lambda slot: slot < end, coming[:MOST]):
        found[slot.astimezone(zone).date()].append(slot)
    is_whole = len(coming) <= MOST or coming[MOST] >= end
    return found, None if is_whole else coming[MOST].astimezone(zone).date()


def _left_out(job: PeriodicJob, now: datetime, end: datetime, zone: tzinfo) -> dict[date, Counter[str]]:
    """How many slots of the schedule alone are on each day off or in each window."""
    found: dict[date, Counter[str]] = defaultdict(Counter)
    for slot, reason in _excluded(job, now, end):
        found[slot.astimezone(zone).date()][reason] += 1
    return found


def _excluded(job: PeriodicJob, now: datetime, end: datetime) -> Iterator[tuple[datetime, str]]:
    exclusions = job.exclusions
    moved = {"next": ", moved to the next business day", "previous": ", moved to the business day before"}
    for slot in slots.upcoming(replace(job, exclude=(), business_day=None), now, MOST):
        if slot >= end:
            return
        if (gap := exclusions.gap(slot)) is not None:
            is_day = exclusions.day_off(slot.astimezone(exclusions.zone).date()) == gap.reason
            yield slot, gap.reason + (moved.get(job.business_day or "", "") if is_day else "")
