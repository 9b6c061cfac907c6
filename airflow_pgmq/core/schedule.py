"""Cron expressions in a time zone → slots in UTC.

croniter reads each field and finds the days; the times of a day are combined here, because croniter takes
50 to 200 µs for each slot. What a wall-clock time means on the two days of a year when clocks change is
decided here too: croniter would send a fixed-time job twice in the repeated hour.
"""

from __future__ import annotations

import calendar
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta, timezone
from functools import lru_cache
from heapq import heappop, heappush
from zoneinfo import ZoneInfo

from croniter import CroniterBadCronError, CroniterBadDateError, croniter

UTC = timezone.utc

#: What croniter raises for expressions that it cannot read.
_UNREADABLE = (CroniterBadCronError, ValueError, KeyError, AttributeError, TypeError)
#: Positions of the time fields, with their values where the field is `*`.
_MINUTE, _HOUR, _SECOND = 0, 1, 5
_ALL = {_MINUTE: range(60), _HOUR: range(24), _SECOND: range(60)}


class Schedule:
    """The slots of one cron expression.

    A local time that does not exist is moved to the first instant after the gap, one that exists twice
    is taken once; except for jobs of every hour (hour field `*`), which follow elapsed time.
    """

    def __init__(self, cron: str, zone: str, hash_id: str | None = None) -> None:
        self._zone = time_zone(zone)
        self._cron = _parse(cron, _hashed(cron, hash_id))

    def after(self, instant: datetime) -> Iterator[datetime]:
        """Slots later than `instant`, ascending, in UTC; ends when the expression has no further match."""
        local = instant.astimezone(self._zone)
        # In the first pass of a repeated hour, its earlier wall-clock times are still to come again.
        back = _offset(local) - _offset(local.replace(fold=1))
        wall = local.replace(tzinfo=None) - back
        last = instant
        for slot in self._instants(self._cron.after(wall), len(self._cron.hours) == 24):
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


@lru_cache(maxsize=1024)
def time_zone(name: str) -> ZoneInfo:
    """Load a zone once; raises ValueError for a name the system's tz database lacks."""
    try:
        return ZoneInfo(name)
    except Exception as exc:  # zoneinfo leaks KeyError, ValueError and OSError, by the form of the name
        raise ValueError(f"unknown time zone {name!r}; use a name such as 'Europe/Berlin' or 'UTC'") from exc


@dataclass(frozen=True, slots=True)
class _Cron:
    """An expression taken apart."""

    hours: Sequence[int]
    minutes: Sequence[int]
    seconds: Sequence[int]
    #: The fields for day, month and weekday, with the id that their hashes are made of.
    days: str
    hash_id: bytes | None

    def after(self, wall: datetime) -> Iterator[datetime]:
        """Wall-clock times later than `wall`, ascending."""
        start = wall.replace(microsecond=0) + timedelta(seconds=1)
        day = _day(self.days, self.hash_id, start.date())
        while day is not None:
            for hour, minute, second in self._times(start.time() if day == start.date() else time.min):
                yield datetime(day.year, day.month, day.day, hour, minute, second)
            day = _day(self.days, self.hash_id, day + timedelta(days=1))

    def _times(self, first: time) -> Iterator[tuple[int, int, int]]:
        """The times of a day from `first` on."""
        for hour in self.hours:
            if hour < first.hour:
                continue
            for minute in self.minutes:
                if (hour, minute) < (first.hour, first.minute):
                    continue
                for second in self.seconds:
                    if (hour, minute, second) >= (first.hour, first.minute, first.second):
                        yield hour, minute, second


@lru_cache(maxsize=20_000)
def _parse(cron: str, hash_id: bytes | None) -> _Cron:
    """Take an expression apart; raises what croniter raises."""
    if cron.startswith("@"):
        fields = [",".join(map(str, values)) for values in croniter.expand(cron, hash_id=hash_id)[0]]
    else:
        fields = cron.lower().split()
    minutes, hours, *days = fields[:5]
    seconds = fields[_SECOND] if len(fields) > _SECOND else "0"
    return _Cron(
        _values(_HOUR, hours, hash_id),
        _values(_MINUTE, minutes, hash_id),
        _values(_SECOND, seconds, hash_id),
        " ".join(days),
        hash_id,
    )


# Fields repeat: 10,000 different expressions have 60 minutes, 24 hours and a few kinds of days.
@lru_cache(maxsize=20_000)
def _values(position: int, field: str, hash_id: bytes | None) -> Sequence[int]:
    """The values of a time field, ascending."""
    fields = ["*"] * 6
    fields[position] = field
    values = croniter.expand(" ".join(fields), hash_id=hash_id)[0][position]
    return _ALL[position] if values == ["*"] else tuple(values)


@lru_cache(maxsize=20_000)
def _day(days: str, hash_id: bytes | None, earliest: date) -> date | None:
    """The first day from `earliest` on that the day fields match; None if there is none in 50 years."""
    just_before = datetime.combine(earliest, time.min) - timedelta(seconds=1)
    try:
        found: datetime = croniter(f"0 0 {days}", just_before, ret_type=datetime, hash_id=hash_id).get_next()
    except CroniterBadDateError:
        return None
    return found.date()


def _hashed(cron: str, hash_id: str | None) -> bytes | None:
    """The id, if the expression may have a use for it: without one, jobs share what was parsed.

    Never for a nickname: with an id, croniter reads @daily as "once a day at a hashed time", not as midnight.
    """
    hashes = "h" in cron.lower() and not cron.startswith("@")
    # A name that is no UTF-8 is reported as such, not here.
    return hash_id.encode(errors="replace") if hash_id and hashes else None


def problem(cron: str, hash_id: str | None = None) -> str | None:
    """What is wrong with a cron expression, or None; cheap enough for Dag parsing."""
    fields = cron.split()
    if not cron.startswith("@") and len(fields) not in (5, 6):
        return f"cron {cron!r} has {len(fields)} fields; use 5, or 6 with the seconds last"
    if any(field[0] in "Rr" for field in fields):
        return f"cron {cron!r} is random: every process would compute other slots; use H or jitter"
    hashed = _hashed(cron, hash_id)
    try:
        possible = _can_match(_parse(cron, hashed).days, hashed)
    except _UNREADABLE:
        return f"cron {cron!r} is not valid: {_complaint(cron, hashed)}"
    return None if possible else f"cron {cron!r} never matches a day"


@lru_cache(maxsize=20_000)
def _can_match(fields: str, hash_id: bytes | None) -> bool:
    expanded: list[list[int | str]] = croniter.expand(f"0 0 {fields}", hash_id=hash_id)[0]
    _, _, days, months, weekdays = expanded
    if days == ["*"] or weekdays != ["*"] or "l" in days:
        return True
    longest = [calendar.monthrange(2024, int(m))[1] for m in (range(1, 13) if months == ["*"] else months)]
    return min(int(day) for day in days) <= max(longest)


def _complaint(cron: str, hash_id: bytes | None) -> str:
    """croniter's own words about the expression as a whole."""
    try:
        croniter.expand(cron, hash_id=hash_id)
    except _UNREADABLE as exc:
        return str(exc)
    return "croniter cannot read one of its fields"
