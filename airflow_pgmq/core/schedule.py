"""Cron expressions in a time zone → slots in UTC, in both directions.

What a wall-clock time means on the two days of a year when clocks change is decided here, since croniter
would send a fixed-time job twice in the repeated hour.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterator
from datetime import date, datetime, timedelta, timezone, tzinfo
from functools import lru_cache
from heapq import merge
from itertools import tee
from zoneinfo import ZoneInfo

from airflow_pgmq.core.cron import Cron, Order, parse

UTC = timezone.utc

#: Slots exist in these years.
_YEARS = range(1900, 3000)
_TICK = timedelta(microseconds=1)


class Schedule:
    """The slots of one cron expression.

    A local time that does not exist is moved to the first instant after the gap, one that exists twice
    is used once; jobs of every hour (hour field `*`) follow elapsed time instead.
    """

    def __init__(
        self, cron: str, zone: str | tzinfo, hash_id: str | None = None, seconds: Order | None = None
    ) -> None:
        self._zone = time_zone(zone) if isinstance(zone, str) else zone
        self._cron = parse(cron, hash_id, seconds)
        self._every_hour = len(self._cron.hours) == 24

    def after(self, instant: datetime) -> Iterator[datetime]:
        """Slots later than `instant`, ascending, in UTC."""
        last = instant
        for slot in self._near(instant, backward=False):
            if slot > last:
                yield slot
                last = slot

    def until(self, instant: datetime) -> Iterator[datetime]:
        """Slots up to and including `instant`, descending, in UTC."""
        last = instant + _TICK
        for slot in self._near(instant, backward=True):
            if slot < last:
                yield slot
                last = slot

    def _near(self, at: datetime, *, backward: bool) -> Iterator[datetime]:
        """Slots in order, from a little before the instant, some of them more than once."""
        local = at.astimezone(self._zone)
        # In a repeated hour, the same wall-clock times occur twice.
        overlap = abs(_offset(local) - _offset(local.replace(fold=1 - local.fold)))
        start = local.replace(tzinfo=None, microsecond=0) + (overlap if backward else -overlap)
        walls = _walls(self._cron, start, backward)
        if self._every_hour:
            return self._elapsed(walls, backward)
        return (instant(wall, self._zone) for wall in walls)

    def _elapsed(self, walls: Iterator[datetime], backward: bool) -> Iterator[datetime]:
        """All instants at which clocks in the zone show one of these times."""
        both = (_both(wall, self._zone) for wall in walls)
        once, again = tee(each for each in both if each[0] <= each[1])
        return merge((first for first, _ in once), (second for _, second in again), reverse=backward)


def instant(wall: datetime, zone: tzinfo) -> datetime:
    """A wall-clock time of the zone in UTC, by the rule for fixed-time jobs."""
    first, second = _both(wall, zone)
    return first if first <= second else _gap_end(second, first, zone)


def _both(wall: datetime, zone: tzinfo) -> tuple[datetime, datetime]:
    """The two instants that a wall-clock time may mean; the first is the later one in a gap only."""
    local = wall.replace(tzinfo=zone, fold=0)
    return local.astimezone(UTC), local.replace(fold=1).astimezone(UTC)


def _gap_end(before: datetime, after: datetime, zone: tzinfo) -> datetime:
    """The first second with the new offset, found by halving."""
    offset = _offset(after.astimezone(zone))
    while after - before > timedelta(seconds=1):
        middle = before + timedelta(seconds=(after - before) // timedelta(seconds=2))
        if _offset(middle.astimezone(zone)) == offset:
            after = middle
        else:
            before = middle
    return after.replace(microsecond=0)


def _offset(local: datetime) -> timedelta:
    return local.utcoffset() or timedelta(0)


@lru_cache(maxsize=1024)
def time_zone(name: str) -> ZoneInfo:
    """Load a zone once; raises ValueError for a name the system's tz database lacks."""
    try:
        return ZoneInfo(name)
    except Exception as exc:  # zoneinfo leaks KeyError, ValueError and OSError, by the form of the name
        raise ValueError(f"unknown time zone {name!r}; use a name such as 'Europe/Berlin' or 'UTC'") from exc


def _walls(cron: Cron, start: datetime, backward: bool) -> Iterator[datetime]:
    """Wall-clock times of an expression in order, from `start` on."""
    edge = start.hour, start.minute, start.second
    first, other = start.date(), (23, 59, 59) if backward else (0, 0, 0)
    for day in _days(cron, first, backward):
        for hour, minute, second in _times(cron, edge if day == first else other, backward):
            yield datetime(day.year, day.month, day.day, hour, minute, second)


def _days(cron: Cron, start: date, backward: bool) -> Iterator[date]:
    year, month, edge = start.year, start.month, start.day
    step = -1 if backward else 1
    while year in _YEARS:
        for day in _rest(cron.days.of_month(year, month), edge, backward):
            yield date(year, month, day)
        months = year * 12 + month - 1 + step
        year, month, edge = months // 12, months % 12 + 1, 31 if backward else 1


def _times(cron: Cron, edge: tuple[int, int, int], backward: bool) -> Iterator[tuple[int, int, int]]:
    """The times of a day from this one on."""
    limit = 59 if backward else 0
    for hour in _rest(cron.hours, edge[0], backward):
        in_hour = hour == edge[0]
        for minute in _rest(cron.minutes, edge[1] if in_hour else limit, backward):
            in_minute = in_hour and minute == edge[1]
            for second in _rest(cron.seconds, edge[2] if in_minute else limit, backward):
                yield hour, minute, second


def _rest(values: tuple[int, ...], edge: int, backward: bool) -> tuple[int, ...]:
    """The ascending values from `edge` on, in the given direction."""
    return values[: bisect_right(values, edge)][::-1] if backward else values[bisect_left(values, edge) :]
