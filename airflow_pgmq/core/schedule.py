"""Cron expressions in a time zone → slots in UTC.

croniter walks naive wall-clock time; what a wall-clock time means on the two days of a year when clocks
change is decided here, because croniter would send a fixed-time job twice in the repeated hour.
"""

from __future__ import annotations

import calendar
from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from functools import lru_cache
from heapq import heappop, heappush
from zoneinfo import ZoneInfo

from croniter import CroniterBadCronError, CroniterBadDateError, croniter

UTC = timezone.utc


class Schedule:
    """The slots of one cron expression.

    A local time that does not exist is moved to the first instant after the gap, one that exists twice
    is taken once; except for jobs of every hour (hour field `*`), which follow elapsed time.
    """

    def __init__(self, cron: str, zone: str, hash_id: str | None = None) -> None:
        self._cron = cron
        self._zone = time_zone(zone)
        # With an id, croniter reads @daily as "once a day at a hashed time" and not as midnight.
        self._hash_id = None if cron.startswith("@") else hash_id

    def after(self, instant: datetime) -> Iterator[datetime]:
        """Slots later than `instant`, ascending, in UTC; ends when the expression has no further match."""
        local = instant.astimezone(self._zone)
        # In the first pass of a repeated hour, its earlier wall-clock times are still to come again.
        back = _offset(local) - _offset(local.replace(fold=1))
        wall = local.replace(tzinfo=None) - back
        walls = croniter(self._cron, wall, ret_type=datetime, hash_id=self._hash_id)
        every_hour = walls.expanded[1] == ["*"]
        last = instant
        for slot in self._instants(_all(walls), every_hour):
            if slot > last:
                yield slot
                last = slot

    def last(self, after: datetime, until: datetime) -> datetime | None:
        """The newest slot in (after, until]: looks back in growing steps, so that dense crons stay cheap."""
        span = timedelta(minutes=1)
        while True:
            start = max(after, until - span)
            newest = None
            for slot in self.after(start):
                if slot > until:
                    break
                newest = slot
            if newest is not None or start <= after:
                return newest
            span *= 8

    def _instants(self, walls: Iterator[datetime], every_hour: bool) -> Iterator[datetime]:
        repeated: list[datetime] = []
        for wall in walls:
            first, second = _both(wall, self._zone)
            if first > second:  # the wall-clock time lies in a gap
                if every_hour:
                    continue
                first = _gap_end(second, first, self._zone)
            while repeated and repeated[0] < first:
                yield heappop(repeated)
            yield first
            if every_hour and second > first:
                heappush(repeated, second)
        yield from sorted(repeated)


def instant(wall: datetime, zone: ZoneInfo) -> datetime:
    """A wall-clock time of the zone in UTC, by the rule for fixed-time jobs."""
    first, second = _both(wall, zone)
    return first if first <= second else _gap_end(second, first, zone)


def _both(wall: datetime, zone: ZoneInfo) -> tuple[datetime, datetime]:
    """The two instants that a wall-clock time may mean; the first is the later one in a gap only."""
    local = wall.replace(tzinfo=zone, fold=0)
    return local.astimezone(UTC), local.replace(fold=1).astimezone(UTC)


def _gap_end(before: datetime, after: datetime, zone: ZoneInfo) -> datetime:
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


def _all(walls: croniter) -> Iterator[datetime]:
    try:
        while True:
            yield walls.get_next()
    except CroniterBadDateError:
        return


@lru_cache(maxsize=1024)
def time_zone(name: str) -> ZoneInfo:
    """Load a zone once; raises ValueError for a name the system's tz database lacks."""
    try:
        return ZoneInfo(name)
    except Exception as exc:  # zoneinfo leaks KeyError, ValueError and OSError, by the form of the name
        raise ValueError(f"unknown time zone {name!r}; use a name such as 'Europe/Berlin' or 'UTC'") from exc


@lru_cache(maxsize=20_000)
def problem(cron: str, hash_id: str | None = None) -> str | None:
    """What is wrong with a cron expression, or None; cheap enough for Dag parsing (40 µs)."""
    fields = cron.split()
    if not cron.startswith("@") and len(fields) not in (5, 6):
        return f"cron {cron!r} has {len(fields)} fields; use 5, or 6 with the seconds last"
    if any(field[0] in "Rr" for field in fields):
        return f"cron {cron!r} is random: every process would compute other slots; use H or jitter"
    try:
        expanded, _ = croniter.expand(cron, hash_id=hash_id.encode() if hash_id else None)
    except (CroniterBadCronError, ValueError, KeyError, AttributeError, TypeError) as exc:
        return f"cron {cron!r} is not valid: {exc}"
    return None if _can_match(expanded) else f"cron {cron!r} never matches a day"


def _can_match(expanded: list[list[int | str]]) -> bool:
    _, _, days, months, weekdays = expanded[:5]
    if days == ["*"] or weekdays != ["*"] or "l" in days:
        return True
    longest = [calendar.monthrange(2024, int(m))[1] for m in (range(1, 13) if months == ["*"] else months)]
    return min(int(day) for day in days) <= max(longest)
