"""Calendars as the database has them: what is wrong with one, and how files write them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta, timezone
from typing import Any, TypeAlias

from airflow_pgmq.errors import InvalidArgument

#: Of named calendars: why each of their days is off.
NamedDays: TypeAlias = Mapping[str, Mapping[date, str]]

_EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)
# A browser resolves "." and "..", so no page could have such a name.
_NAME = re.compile(r"(?!\.{1,2}$)[\w.-]{1,100}")
#: A century of days.
MOST_DAYS = 36_525
LONGEST_REASON = 200
#: Of a day without a reason.
NO_REASON = "day off"
#: Between a date and its reason.
_BETWEEN = re.compile(r"[\s,]+")
_CONTROL = re.compile(r"[\x00-\x1f\x7f\x85\u2028\u2029]")


@dataclass(frozen=True, slots=True)
class Calendar:
    """A calendar in the database."""

    name: str
    #: Why each day is off.
    days: Mapping[date, str]
    changed_at: datetime
    #: How many jobs leave its days out.
    jobs: int

    @property
    def version(self) -> int:
        """A number that each change makes another: microseconds since 1970."""
        return (self.changed_at - _EPOCH) // timedelta(microseconds=1)


def name(value: object) -> str:
    """Check a calendar's name."""
    if not isinstance(value, str) or not _NAME.fullmatch(value):
        raise InvalidArgument(
            f"The name of a calendar must be 1 to 100 letters, digits, '_', '.' or '-', not {value!r}."
        )
    return value


def days(given: Mapping[date, str] | Iterable[date]) -> dict[date, str]:
    """Days with their reasons, checked; from a mapping, or from dates alone."""
    pairs = given.items() if isinstance(given, Mapping) else ((day, "") for day in given)
    found: dict[date, str] = {}
    for day, reason in pairs:
        if not isinstance(day, date) or isinstance(day, datetime):
            raise InvalidArgument(f"A calendar has dates, such as date(2026, 12, 25), not {day!r}.")
        if not isinstance(reason, str) or len(reason) > LONGEST_REASON or _CONTROL.search(reason):
            raise InvalidArgument(
                f"The reason of {day} must be one line of up to {LONGEST_REASON} characters, not {reason!r}."
            )
        found[day] = reason.strip() or NO_REASON
    if len(found) > MOST_DAYS:
        raise InvalidArgument(f"A calendar has at most {MOST_DAYS:,} days, not {len(found):,}.")
    return found


def parsed(text: str) -> dict[date, str]:
    """The days of a text: a line for each, a date and perhaps a reason; a line with `#` first is a comment.

    :raises InvalidArgument: a line that is none, with its number
    """
    found: dict[date, str] = {}
    for number, line in enumerate(text.removeprefix("\ufeff").splitlines(), 1):
        if not (given := line.strip()) or given.startswith("#"):
            continue
        day, *reason = _BETWEEN.split(given, maxsplit=1)
        try:
            found[date.fromisoformat(day)] = "".join(reason)
        except ValueError:
            raise InvalidArgument(
                f"Line {number} does not begin with a date such as 2026-12-25: {given[:60]!r}."
            ) from None
    return days(found)


def written(of: Mapping[date, str]) -> list[dict[str, Any]]:
    """The days as rows, in order."""
    return [{"day": day.isoformat(), "reason": of[day]} for day in sorted(of)]


def text(of: Mapping[date, str]) -> str:
    """The days as `parsed` reads them."""
    return "".join(
        f"{day.isoformat()}{'' if of[day] == NO_REASON else f' {of[day]}'}\n" for day in sorted(of)
    )
