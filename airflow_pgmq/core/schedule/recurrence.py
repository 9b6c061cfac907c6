"""RFC 5545 recurrence rules in a time zone → slots in UTC, in both directions.

dateutil finds the days of a year that match. Periods, times and ends are counted here: dateutil starts at
DTSTART, does not go back, and looks through 8,000 years, second by second, for a time that never comes.
"""

from __future__ import annotations

from calendar import isleap
from collections import defaultdict
from collections.abc import Iterator, Sequence
from datetime import date, datetime, timedelta, tzinfo
from functools import cached_property, lru_cache
from itertools import groupby, islice, product, takewhile
from typing import NamedTuple

from dateutil import rrule

from airflow_pgmq.core.schedule.ascending import rest
from airflow_pgmq.core.schedule.recurrence_text import (
    FREQUENCIES,
    NUMBERS,
    WEEKDAYS,
    read_excluded,
    read_lines,
    read_moment,
    read_numbers,
    read_parts,
    read_weekdays,
)
from airflow_pgmq.core.schedule.zones import UTC, instant, offset, time_zone

_YEARLY, _MONTHLY, _WEEKLY, _DAILY, _HOURLY, _MINUTELY, _SECONDLY = range(7)
#: Seconds of a period, which is never longer than a day here: years, months and weeks consist of days.
_SECONDS = (86_400, 86_400, 86_400, 86_400, 3600, 60, 1)
#: Slots exist in these years, and at most so many days (100 years) apart.
_FIRST, _LAST = datetime(1900, 1, 1), datetime(2999, 12, 31, 23, 59, 59)
_HORIZON = 36_525
_BOUNDS = (datetime(1899, 12, 30, tzinfo=UTC), datetime(3000, 1, 2, tzinfo=UTC))
#: Two years have the same days if they begin on the same weekday, and if they, and the years before (whose
#: last week may end in January), are leap years or not. 28 years have all 21 kinds.
_TWINS = {(date(year, 1, 1).weekday(), isleap(year), isleap(year - 1)): year for year in range(1972, 2000)}
_TimedDays = Iterator[tuple[int, Sequence[int]]]
_Clock = tuple[tuple[int, ...], tuple[int, ...], tuple[int, ...]]
_Numbers = dict[str, tuple[int, ...]]


class RecurrenceSlots:
    """The slots of one rule.

    Every FREQ counts wall-clock time, HOURLY and shorter ones too. A local time that does not exist is moved
    to the first instant after the gap, one that exists twice is used once. The zone of DTSTART wins.
    """

    def __init__(self, rule: str, zone: tzinfo | str) -> None:
        self._rule = _read(rule, zone)

    def after(self, instant: datetime) -> Iterator[datetime]:
        """Slots later than `instant`, ascending, in UTC."""
        return (slot for slot, _ in groupby(self._rule.slots(instant, backward=False)) if slot > instant)

    def before(self, instant: datetime) -> Iterator[datetime]:
        """Slots earlier than `instant`, descending, in UTC."""
        return (slot for slot, _ in groupby(self._rule.slots(instant, backward=True)) if slot < instant)


@lru_cache(maxsize=16_384)
def problem(rule: str, zone: tzinfo | str) -> str | None:
    """What is wrong with a rule, as a sentence, or None; cached, because each parse of a Dag asks."""
    try:
        read = _read(rule, zone)
    except ValueError as exc:
        return str(exc)
    start = max(instant(read.start, read.zone), datetime(1970, 1, 1, tzinfo=UTC))
    if any(slot >= start for slot in read.slots(start, backward=False)):
        return None
    return _sentence(rule, f"never matches in the 100 years after {start.date()}; change its parts or EXDATE")


class _Rule:
    """A rule as numbers; one object serves all jobs that have it."""

    def __init__(self, parts: dict[str, str], start: datetime, zone: tzinfo, off: frozenset[date]) -> None:
        numbers = {name: read_numbers(name, parts[name]) if name in parts else () for name in NUMBERS}
        self.frequency = FREQUENCIES.index(parts["FREQ"])
        self.interval, self.count = max(numbers["INTERVAL"], default=1), max(numbers["COUNT"], default=None)
        self.start, self.zone = start, zone
        #: The last wall-clock time and the last instant.
        self.end, self.until = _end(parts.get("UNTIL"), zone)
        #: EXDATE: days, wall-clock times and instants.
        self.off = off
        self.days = _days(self.frequency, parts, numbers, start)
        self.positions = numbers["BYSETPOS"]
        self.periods, self.within = _times(
            self.frequency, self.interval, _clock(self.frequency, numbers, start), self.positions
        )

    def slots(self, at: datetime, backward: bool) -> Iterator[datetime]:
        """Slots in order, from a little before the instant, some of them more than once."""
        edge = _edge(at, self.zone, backward)
        if not backward and edge <= self.start:
            walls = self._from_start()
        else:
            edge = min(edge, self._last) if backward else edge
            walls = takewhile(lambda wall: self.start <= wall <= self._last, self._walls(edge, backward))
        for wall in walls:
            slot = instant(wall, self.zone)
            if slot <= self.until and self.off.isdisjoint((wall, wall.date(), slot)):
                yield slot

    @cached_property
    def _last(self) -> datetime:
        """The last wall-clock time, to which COUNT must count."""
        return self.end if self.count is None else max(self._from_start(), default=self.end)

    def _from_start(self) -> Iterator[datetime]:
        walls = self._walls(self.start, backward=False)
        return islice(takewhile(lambda wall: wall <= self.end, walls), self.count)

    def _walls(self, edge: datetime, backward: bool) -> Iterator[datetime]:
        """Wall-clock times in order, until there is none for 100 years."""
        start = found = edge.toordinal()
        for day, times in self._timed_days(edge, backward):
            if abs(day - found) > _HORIZON:
                return
            for each in rest(times, _second(edge) + (start - day) * 86_400, backward):
                yield datetime.fromordinal(day) + timedelta(seconds=each)
                found = day

    def _timed_days(self, edge: datetime, backward: bool) -> _TimedDays:
        """Days in order, with their times ascending; a day without times shows how far the search is."""
        if self.positions and self.frequency < _DAILY:
            # They need the whole period, and a week may begin in the year before.
            far = edge + timedelta(days=7 if backward else -7)
            edge = far.replace(month=12, day=31) if backward else far.replace(month=1, day=1)
        days = self.days.walk(edge.toordinal(), backward)
        return self._of_periods(days) if self.frequency < _DAILY else self._of_days(days)

    def _of_days(self, days: Iterator[int]) -> _TimedDays:
        seconds = _SECONDS[self.frequency]
        per_day, interval = 86_400 // seconds, self.interval
        first = self.start.toordinal() * per_day + _second(self.start) // seconds
        for day in days:
            begins = self.periods.get((first - day * per_day) % interval)
            yield day, [begin + each for begin in begins for each in self.within] if begins else ()

    def _of_periods(self, days: Iterator[int]) -> _TimedDays:
        first = self._period(self.start.toordinal())
        for number, group in groupby(days, self._period):
            of_period = list(group)
            yield of_period[0], ()
            if (number - first) % self.interval:
                continue
            yield from self._at_positions(of_period) if self.positions else product(of_period, [self.within])

    def _at_positions(self, days: list[int]) -> _TimedDays:
        ascending, found = sorted(days), defaultdict(list)
        for index in _indexes(self.positions, len(days) * len(self.within)):
            day, time = divmod(index, len(self.within))
            found[ascending[day]].append(self.within[time])
        return ((day, found[day]) for day in days if day in found)

    def _period(self, day: int) -> int:
        """The number of a day's year, month or week."""
        if self.frequency == _WEEKLY:
            return (day - 1 - self.days.week_start) // 7  # day 1 was a Monday
        of = date.fromordinal(day)
        return of.year if self.frequency == _YEARLY else of.year * 12 + of.month


class _Days(NamedTuple):
    """Which days of a year match; () is any."""

    months: tuple[int, ...]
    monthdays: tuple[int, ...]
    yeardays: tuple[int, ...]
    weeks: tuple[int, ...]
    #: A weekday (0 is Monday) and which one of the month or year; 0 is each.
    weekdays: tuple[tuple[int, int], ...]
    week_start: int

    def walk(self, start: int, backward: bool) -> Iterator[int]:
        """Ordinals of matching days in order, from `start` on."""
        year = date.fromordinal(start).year
        for each in range(year, _FIRST.year - 1, -1) if backward else range(year, _LAST.year + 2):
            january = date(each, 1, 1)
            first = january.toordinal()
            twin = _TWINS[january.weekday(), isleap(each), isleap(each - 1)]
            yield from [first + day for day in rest(_days_of_year(self, twin), start - first, backward)]


@lru_cache(maxsize=2048)
def _days_of_year(days: _Days, year: int) -> tuple[int, ...]:
    """Counted from January 1, which is 0."""
    first = datetime(year, 1, 1)
    found = rrule.rrule(
        rrule.YEARLY,
        dtstart=first,
        interval=10_000,  # no year is left then, and dateutil ends
        bymonth=days.months or None,
        bymonthday=days.monthdays or None,
        byyearday=days.yeardays or None,
        byweekno=days.weeks or None,
        byweekday=[rrule.weekday(day, which or None) for day, which in days.weekdays] or None,
        wkst=days.week_start,
    )
    return tuple((each - first).days for each in found)


@lru_cache(maxsize=64)
def _times(
    frequency: int, interval: int, clock: _Clock, positions: tuple[int, ...]
) -> tuple[dict[int, list[int]], list[int]]:
    """The beginnings of a day's periods, by their number modulo INTERVAL, and the times within each."""
    fields = [[value * size for value in field] for field, size in zip(clock, (3600, 60, 1), strict=True)]
    counted = max(frequency - _DAILY, 0)  # so many of the three say which period it is
    periods, within = (
        [sum(each) for each in product(*part)] for part in (fields[:counted], fields[counted:])
    )
    if positions and frequency >= _DAILY:
        within = [within[index] for index in _indexes(positions, len(within))]
    numbered = defaultdict(list)
    for begin in periods if within else ():
        numbered[begin // _SECONDS[frequency] % interval].append(begin)
    return numbered, within


def _indexes(positions: tuple[int, ...], size: int) -> list[int]:
    """BYSETPOS → places in a set of this size, ascending."""
    indexes = {position - 1 if position > 0 else size + position for position in positions}
    return sorted(index for index in indexes if 0 <= index < size)


def _second(wall: datetime) -> int:
    return wall.hour * 3600 + wall.minute * 60 + wall.second


def _edge(at: datetime, zone: tzinfo, backward: bool) -> datetime:
    """The wall-clock time from which a walk meets all slots on that side of the instant."""
    local = min(max(at, _BOUNDS[0]), _BOUNDS[1]).astimezone(zone)
    # In a repeated hour, the slots of times that clocks are yet to show again are over.
    overlap = abs(offset(local) - offset(local.replace(fold=1 - local.fold)))
    return local.replace(tzinfo=None, microsecond=0) + (overlap if backward else timedelta(0))


@lru_cache(maxsize=16_384)
def _read(rule: str, zone: tzinfo | str) -> _Rule:
    try:
        lines = read_lines(rule)
        start = read_moment(*lines["DTSTART"][0]) if lines["DTSTART"] else datetime(1970, 1, 5)
        start = start if isinstance(start, datetime) else datetime(start.year, start.month, start.day)
        if not _FIRST.year <= start.year <= _LAST.year:
            raise ValueError(f"a DTSTART in the year {start.year}; write one from 1900 to 2999")
        zone = start.tzinfo or (time_zone(zone) if isinstance(zone, str) else zone)
        parts = read_parts(lines["RRULE"][0][0])
        return _Rule(parts, start.replace(tzinfo=None), zone, read_excluded(lines["EXDATE"], zone))
    except (ValueError, OverflowError) as exc:  # a moment of the year 1 or 9999 may not exist in UTC
        raise ValueError(_sentence(rule, f"has {exc}")) from exc


def _sentence(rule: str, wrong: str) -> str:
    text = " ".join(rule.split())
    return f"RRULE '{text if len(text) <= 200 else text[:200] + '…'}' {wrong}"


def _end(text: str | None, zone: tzinfo) -> tuple[datetime, datetime]:
    """UNTIL → the last wall-clock time and the last instant."""
    until = read_moment(text) if text is not None else _LAST
    if not isinstance(until, datetime):
        until = datetime(until.year, until.month, until.day, 23, 59, 59)
    if until.tzinfo:
        return min(_edge(until, zone, backward=True), _LAST), until
    return min(until, _LAST), datetime.max.replace(tzinfo=UTC)


def _clock(frequency: int, numbers: _Numbers, start: datetime) -> _Clock:
    """Hours, minutes and seconds; a part that is not given is that of DTSTART, or any below FREQ."""
    return (
        numbers["BYHOUR"] or ((start.hour,) if frequency < _HOURLY else tuple(range(24))),
        numbers["BYMINUTE"] or ((start.minute,) if frequency < _MINUTELY else tuple(range(60))),
        numbers["BYSECOND"] or ((start.second,) if frequency < _SECONDLY else tuple(range(60))),
    )


def _days(frequency: int, parts: dict[str, str], numbers: _Numbers, start: datetime) -> _Days:
    """The days that a rule names; where it names none, DTSTART does."""
    months, monthdays = numbers["BYMONTH"], numbers["BYMONTHDAY"]
    weekdays: tuple[tuple[int, int], ...] = ()
    if "BYDAY" in parts:
        numbered = frequency <= _MONTHLY and "BYWEEKNO" not in parts
        most = 5 if months or frequency == _MONTHLY else 53
        weekdays = read_weekdays(parts["BYDAY"], most if numbered else 0)
    elif not (monthdays or numbers["BYYEARDAY"] or numbers["BYWEEKNO"]):
        if frequency > _MONTHLY:
            weekdays = tuple((day, 0) for day in ([start.weekday()] if frequency == _WEEKLY else range(7)))
        else:
            monthdays = (start.day,)
            months = months or ((start.month,) if frequency == _YEARLY else ())
    if frequency == _MONTHLY:
        months = months or tuple(range(1, 13))  # for dateutil, a numbered weekday is then one of its month
    week_start = WEEKDAYS.index(parts["WKST"])
    return _Days(months, monthdays, numbers["BYYEARDAY"], numbers["BYWEEKNO"], weekdays, week_start)
