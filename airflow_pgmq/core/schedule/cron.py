"""A cron expression → the values of its fields and the days that it matches.

croniter reads each single value: numbers and names within their bounds, and hashes. Ranges, steps and days
are put together here, because what croniter makes of them is not the same in all its versions and is wrong
in places: it skips days, reads `9-9` as everything, and loses values of ranges that wrap.
"""

from __future__ import annotations

import calendar
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

from croniter import CroniterBadCronError, croniter

#: Where a six-field expression has its seconds.
Order = Literal["first", "last"]
ORDERS: tuple[Order, ...] = ("first", "last")
#: Whether a day must match by its date or by its weekday, or by both; a field that is `*` has no say.
DayMatch = Literal["either", "both"]

NICKNAMES = {
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
    "@quarterly": "0 0 1 */3 *",
    "@monthly": "0 0 1 * *",
    "@weekly": "0 0 * * 0",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@hourly": "0 * * * *",
}

_SUNDAY, _SATURDAY = 0, 6
_LAST = -1
_EVERY = 0
_ALL_DATES = frozenset(range(1, 32))
_ALL_WEEKDAYS = frozenset((weekday, _EVERY) for weekday in range(7))
#: What croniter raises for what it cannot read.
_UNREADABLE = (CroniterBadCronError, ValueError, KeyError, AttributeError, TypeError)
_TERM = re.compile(
    r"(?: (?P<hash>h (?:\( (?P<begin>[0-9]+) - (?P<end>[0-9]+) \))?)"
    r"  | \* | (?P<low>[0-9]+|[a-z]+) (?:-(?P<high>[0-9]+|[a-z]+))? )"
    r"(?:/(?P<step>[0-9]{1,9}))?",
    re.VERBOSE,
)
_HASHED = re.compile(r"\bh\b", re.IGNORECASE)
_LAST_WEEKDAY = re.compile(r"l([0-7])|([0-7])l")
_BEFORE_LAST = re.compile(r"l(?:-([0-9]{1,2}))?")
_NEAREST = re.compile(r"(l|[0-9]+)w")
_TO_LAST = re.compile(r"-l\b(?!-)")
_SINGLE_DAY = re.compile(r"\b(?:l|lw|[0-9]+w)\b")


@dataclass(frozen=True, slots=True)
class _Field:
    name: str
    #: In croniter's order, which its hashes depend on.
    position: int
    low: int
    high: int

    @property
    def size(self) -> int:
        return self.high - self.low + 1

    def __str__(self) -> str:
        return f"{self.name} ({self.low}-{self.high})"


_MINUTE = _Field("minute", 0, 0, 59)
_HOUR = _Field("hour", 1, 0, 23)
_DAY = _Field("day of month", 2, 1, 31)
_MONTH = _Field("month", 3, 1, 12)
_WEEKDAY = _Field("weekday", 4, 0, 6)
_SECOND = _Field("second", 5, 0, 59)
#: As `_split` gives them.
_IN_ORDER = (_SECOND, _MINUTE, _HOUR, _DAY, _MONTH, _WEEKDAY)


@dataclass(frozen=True, slots=True)
class Days:
    """Which days of which months match."""

    months: frozenset[int]
    #: Days of the month; -1 is the last, -2 the one before.
    dates: frozenset[int]
    #: Days of the month, written in the same way, of which the nearest weekday matches.
    nearest: frozenset[int]
    #: A weekday (0 is Sunday) and which one of the month: the nth, -1 for the last, 0 for every.
    weekdays: frozenset[tuple[int, int]]
    #: True: date or weekday must match; False: both.
    either: bool

    def of_month(self, year: int, month: int) -> tuple[int, ...]:
        """The days of this month, ascending."""
        if month not in self.months:
            return ()
        first, length = _month(year, month)
        return _matching(self, (first + 1) % 7, length)

    def exist(self) -> bool:
        """Whether there is such a day in any year; a leap year starts on every weekday sooner or later."""
        lengths = {calendar.monthrange(year, month)[1] for year in (2023, 2024) for month in self.months}
        return any(_matching(self, first, length) for length in lengths for first in range(7))


#: The weekday of a month's first day, and how many days it has.
_month = lru_cache(maxsize=1024)(calendar.monthrange)


@lru_cache(maxsize=20_000)
def _matching(days: Days, first: int, length: int) -> tuple[int, ...]:
    """The days of a month of this length that starts on this weekday."""
    by_date = set(_existing(days.dates, length))
    by_date.update(_nearest_weekday(day, first, length) for day in _existing(days.nearest, length))
    by_weekday: set[int] = set()
    for weekday, nth in days.weekdays:
        all_of_it = range((weekday - first) % 7 + 1, length + 1, 7)
        by_weekday.update(
            all_of_it if nth == _EVERY else all_of_it[-1:] if nth == _LAST else all_of_it[nth - 1 : nth]
        )
    return tuple(sorted(by_date | by_weekday if days.either else by_date & by_weekday))


def _existing(dates: frozenset[int], length: int) -> Iterator[int]:
    """Those of the days that a month of this length has, counted from its start."""
    for date in dates:
        day = date if date > 0 else length + 1 + date
        if 1 <= day <= length:
            yield day


def _nearest_weekday(day: int, first: int, length: int) -> int:
    """The day from Monday to Friday that is nearest to a day, within its month, as in Quartz."""
    weekday = (first + day - 1) % 7
    if weekday == _SATURDAY:
        return day - 1 if day > 1 else day + 2
    if weekday == _SUNDAY:
        return day + 1 if day < length else day - 2
    return day


@dataclass(frozen=True, slots=True)
class Cron:
    """An expression taken apart; the values of each field ascend."""

    hours: tuple[int, ...]
    minutes: tuple[int, ...]
    seconds: tuple[int, ...]
    days: Days


def parse(
    cron: str, hash_id: str | None = None, seconds: Order | None = None, day_match: DayMatch | None = None
) -> Cron:
    """Take an expression apart; raises ValueError whose text follows `cron '…' `.

    :param day_match: by default `either`, which is cron's tradition
    """
    # Without an id, jobs share what was parsed. A name that is no UTF-8 is reported as such, not here.
    hashed = hash_id.encode(errors="replace") if hash_id and _HASHED.search(cron) else None
    return _parsed(cron, hashed, seconds, day_match == "both")


@lru_cache(maxsize=20_000)
def _parsed(cron: str, hash_id: bytes | None, seconds: Order | None, both: bool) -> Cron:
    second, minute, hour, *days = _split(cron, seconds)
    return Cron(
        hours=_values(_HOUR, hour, hash_id),
        minutes=_values(_MINUTE, minute, hash_id),
        seconds=_values(_SECOND, second, hash_id),
        days=_days(*days, hash_id if "h" in "".join(days) else None, both),
    )


@lru_cache(maxsize=20_000)
def _days(date: str, month: str, weekday: str, hash_id: bytes | None, both: bool) -> Days:
    (dates, nearest), weekdays = _dates(date, hash_id), _weekdays(weekday, hash_id)
    days = Days(
        months=frozenset(_values(_MONTH, month, hash_id)),
        dates=dates,
        nearest=nearest,
        weekdays=weekdays,
        either=not both
        and _restricts(date, dates >= _ALL_DATES, weekday)
        and _restricts(weekday, weekdays >= _ALL_WEEKDAYS, date),
    )
    if not days.exist():
        raise ValueError("never matches a day")
    return days


def _split(cron: str, seconds: Order | None) -> list[str]:
    """The fields, the seconds first."""
    fields = cron.lower().split()
    if fields and fields[0].startswith("@"):
        fields = _of_nickname(" ".join(fields)).split()
    if len(fields) == 7:
        raise ValueError(
            "has 7 fields, as if with years, which are not supported: bound the job with start= and end="
        )
    if len(fields) not in (5, 6):
        raise ValueError(f"has {len(fields)} fields; use 5, or 6 with the seconds last")
    if len(fields) == 5:
        return ["0", *fields]
    return fields if seconds == "first" else [fields[5], *fields[:5]]


def _of_nickname(name: str) -> str:
    if name == "@reboot":
        raise ValueError(
            "is not valid: a schedule has times only. Send the message from the program that starts"
        )
    if name not in NICKNAMES:
        raise ValueError(f"is not valid: the nicknames are {', '.join(NICKNAMES)}")
    return NICKNAMES[name]


def _restricts(text: str, everything: bool, other: str) -> bool:
    """Whether a day field counts as given; as in croniter, `0-6` does not beside a field such as `*/2`."""
    return text not in ("*", "*/1", "?") and not (everything and "*" in other)


def _dates(text: str, hash_id: bytes | None) -> tuple[frozenset[int], frozenset[int]]:
    """The days of the month, and those of which the nearest weekday is meant."""
    dates: set[int] = set()
    nearest: set[int] = set()
    for term in ("*" if text == "?" else text).split(","):
        if match := _BEFORE_LAST.fullmatch(term):
            before = int(match[1] or 0)
            if before >= _DAY.high:
                raise ValueError(f"is not valid: no month has {term!r}; the furthest is L-30")
            dates.add(_LAST - before)
        elif match := _NEAREST.fullmatch(term):
            nearest.add(_LAST if match[1] == "l" else _value(_DAY, match[1], None))
        else:
            dates.update(_values(_DAY, _plain(term), hash_id))
    return frozenset(dates), frozenset(nearest)


def _plain(term: str) -> str:
    """A term with numbers only: `15-L` is the 15th and all days after it."""
    plain = _TO_LAST.sub("-31", term)
    if _SINGLE_DAY.search(plain):
        raise ValueError(
            f"is not valid: {term!r}: L, L-3, LW and 15W are single days, without a range or step"
        )
    return plain


def _weekdays(text: str, hash_id: bytes | None) -> frozenset[tuple[int, int]]:
    found: set[tuple[int, int]] = set()
    for term in ("*" if text == "?" else text).split(","):
        if last := _LAST_WEEKDAY.fullmatch(term):
            found.add((int(last[1] or last[2]) % 7, _LAST))
            continue
        term, sharp, nth = term.partition("#")
        if sharp and nth not in ("1", "2", "3", "4", "5"):
            raise ValueError(f"is not valid: after # comes 1 to 5, not {nth!r}")
        found.update((weekday, int(nth or _EVERY)) for weekday in _values(_WEEKDAY, term, hash_id))
    return frozenset(found)


def _values(field: _Field, text: str, hash_id: bytes | None) -> tuple[int, ...]:
    """The values of a field, ascending."""
    return _expanded(field, text, hash_id if "h" in text else None)


# Fields repeat: 10,000 different expressions have 60 minutes, 24 hours and a few kinds of days.
@lru_cache(maxsize=20_000)
def _expanded(field: _Field, text: str, hash_id: bytes | None) -> tuple[int, ...]:
    return tuple(sorted({value for term in text.split(",") for value in _of_term(field, term, hash_id)}))


def _of_term(field: _Field, term: str, hash_id: bytes | None) -> Iterator[int]:
    """The values of one member of a list; a range that wraps goes on after the highest value."""
    if term.startswith("r"):
        raise ValueError("is random: every process would compute other slots; use H or jitter")
    match = _TERM.fullmatch(term)
    if match is None or (match["step"] and not int(match["step"])):
        raise ValueError(f"is not valid: {term!r} cannot be read as {field}")
    low, high = _hashed(field, match, hash_id) if match["hash"] else _bounds(field, match)
    if high < low:
        high += field.size
    for value in range(low, high + 1, int(match["step"] or 1)):
        yield (value - field.low) % field.size + field.low


def _bounds(field: _Field, match: re.Match[str]) -> tuple[int, int]:
    if not match["low"]:
        return field.low, field.high
    low = _value(field, match["low"], None)
    if match["high"]:
        return low, _value(field, match["high"], None)
    return low, field.high if match["step"] else low


def _hashed(field: _Field, match: re.Match[str], hash_id: bytes | None) -> tuple[int, int]:
    """Where a hash begins and ends: with a step, it begins at a hashed value of the first step."""
    if hash_id is None:
        raise ValueError("is not valid: H needs a name to hash")
    low, high = field.low, field.high
    if match["begin"]:
        low, high = _value(field, match["begin"], None), _value(field, match["end"], None)
        if low >= high:
            raise ValueError(f"is not valid: the range of {match['hash']!r} does not ascend")
    latest = min(low + int(match["step"]) - 1, high) if match["step"] else high
    begin = _value(field, f"h({low}-{latest})", hash_id) if low < latest else low
    return begin, high if match["step"] else begin


@lru_cache(maxsize=20_000)
def _value(field: _Field, text: str, hash_id: bytes | None) -> int:
    """A number, name or hash, as croniter reads it, but 7 stays 7: `0-7` is a week, and `7-7` a Sunday."""
    fields = ["*"] * max(field.position + 1, 5)
    fields[field.position] = text
    try:
        (value,) = croniter.expand(" ".join(fields), hash_id=hash_id)[0][field.position]
        return int(text if text.isdigit() else value)
    except _UNREADABLE:
        raise ValueError(f"is not valid: {text!r} is no {field}") from None


def problem(
    cron: str, hash_id: str | None = None, seconds: Order | None = None, day_match: DayMatch | None = None
) -> str | None:
    """What is wrong with a cron expression, or None; cheap enough for Dag parsing."""
    try:
        parse(cron, hash_id, seconds, day_match)
    except ValueError as exc:
        hint = ""
        if seconds is None and len(cron.split()) == 6 and problem(cron, hash_id, "first", day_match) is None:
            hint = "; with the seconds first it would be valid: if that is meant, say seconds='first'"
        return f"cron {cron!r} {exc}{hint}"
    return None


def _beyond(cron: str, seconds: Order | None) -> str | None:
    """What to say of a step longer than its field, or None: `*/90` minutes is each hour.

    No problem: jobs that were stored with one keep their slots, through the deploy that corrects it, too.
    """
    for field, text in zip(_IN_ORDER, _split(cron, seconds), strict=True):
        if any(int(step) > field.size for step in re.findall("/([0-9]+)", text)):
            return (
                f"cron {cron!r}: {text!r} steps beyond {field}, so it matches where it begins and nowhere "
                "else: write that value, or for longer intervals a coarser field"
            )
    return None


def ambiguity(
    cron: str, hash_id: str | None = None, seconds: Order | None = None, day_match: DayMatch | None = None
) -> str | None:
    """What to say of an expression that may not mean what was meant, or None.

    That is one with a step beyond its field, and one of six fields that looks as if its seconds came first:
    both orders are valid, its last field could be a weekday, and its first field is not `*`.
    """
    if problem(cron, hash_id, seconds, day_match) is None and (beyond := _beyond(cron, seconds)) is not None:
        return beyond
    fields = cron.lower().split()
    if seconds is not None or len(fields) != 6 or fields[0] == "*":
        return None
    if any(int(number) > 7 for number in re.findall("[0-9]+", fields[5])):
        return None
    if any(problem(cron, hash_id, order, day_match) for order in ORDERS):
        return None
    if parse(cron, hash_id, "first", day_match) == parse(cron, hash_id, "last", day_match):
        return None
    return (
        f"cron {cron!r} makes sense with the seconds first, too. It is read with them last, so "
        f"{fields[0]!r} is the minute, {fields[1]!r} the hour, {fields[2]!r} the day of the month and "
        f"{fields[5]!r} the seconds: say which is meant with seconds='last' or seconds='first'"
    )
