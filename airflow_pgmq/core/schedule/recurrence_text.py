"""What the text of an RFC 5545 recurrence rule says; anything else is refused, with what to write instead."""

from __future__ import annotations

import re
from datetime import date, datetime, tzinfo

from airflow_pgmq.core.schedule.zones import UTC, instant, time_zone

FREQUENCIES = ("YEARLY", "MONTHLY", "WEEKLY", "DAILY", "HOURLY", "MINUTELY", "SECONDLY")
WEEKDAYS = ("MO", "TU", "WE", "TH", "FR", "SA", "SU")
_WEEKDAY = re.compile(rf"([+-]?[0-9]{{1,2}})?({'|'.join(WEEKDAYS)})")
_LINE = re.compile(r'(?i:(DTSTART|EXDATE)(?:;TZID="?([^:;"]+)"?|;VALUE=(DATE(?:-TIME)?))*|(RRULE)):(.*)')
_MOMENT = re.compile(r"[0-9]{8}(?:T[0-9]{6}Z?)?")
#: The greatest number of each part. Signed ones count from the end if they are negative, and are never 0.
_CLOCK = {"BYHOUR": 23, "BYMINUTE": 59, "BYSECOND": 59}
_SIGNED = {"BYMONTHDAY": 31, "BYYEARDAY": 366, "BYWEEKNO": 53, "BYSETPOS": 366}
NUMBERS = {"INTERVAL": 999_999_999, "COUNT": 10_000, "BYMONTH": 12, **_CLOCK, **_SIGNED}
#: The RFC forbids these parts with these frequencies; dateutil ignores or misreads some of them.
_FORBIDDEN = {"BYWEEKNO": FREQUENCIES[1:], "BYYEARDAY": FREQUENCIES[1:4], "BYMONTHDAY": ("WEEKLY",)}
#: Value, TZID and VALUE.
Line = tuple[str, str | None, str | None]


def read_lines(text: str) -> dict[str, list[Line]]:
    """The lines of each name; one without a name is an RRULE."""
    lines: dict[str, list[Line]] = {"DTSTART": [], "RRULE": [], "EXDATE": []}
    for line in filter(None, map(str.strip, text.splitlines())):
        match = _LINE.fullmatch(line if ":" in line else f"RRULE:{line}")
        if not match:
            known = "only DTSTART, RRULE and EXDATE are known"
            raise ValueError(f"a line {line.partition(':')[0]}; leave it out, {known}")
        dated, zone, kind, rule, value = match.groups()
        lines[(dated or rule).upper()].append((value.upper(), zone, kind and kind.upper()))
    for name, least in (("RRULE", 1), ("DTSTART", 0)):
        if not least <= len(lines[name]) <= 1:
            raise ValueError(f"{len(lines[name])} lines {name}; write one")
    return lines


def read_moment(text: str, zone: str | None = None, kind: str | None = None) -> date:
    """A day, or a wall-clock time with the zone that the rule gives it."""
    timed, utc = "T" in text, text.endswith("Z")
    fits = kind in (None, "DATE-TIME" if timed else "DATE") and not (zone and utc)
    try:
        if not fits or not _MOMENT.fullmatch(text):
            raise ValueError(text)
        wall = datetime.strptime(text.rstrip("Z"), "%Y%m%dT%H%M%S" if timed else "%Y%m%d")
    except ValueError:
        forms = "20240131T093000, 20240131T093000Z without TZID, or a day as 20240131 with VALUE=DATE"
        raise ValueError(f"the time {text!r}; write {forms}") from None
    if not timed:
        return wall.date()
    return wall.replace(tzinfo=UTC if utc else time_zone(zone) if zone else None)


def read_excluded(lines: list[Line], zone: tzinfo) -> frozenset[date]:
    """The days, wall-clock times and instants of EXDATE."""
    found: set[date] = set()
    for moment in (read_moment(text, *how) for value, *how in lines for text in value.split(",")):
        if isinstance(moment, datetime) and moment.tzinfo:
            wall = moment.replace(tzinfo=None)
            moment = wall if moment.tzinfo == zone else instant(wall, moment.tzinfo)
        found.add(moment)
    return frozenset(found)


def read_parts(text: str) -> dict[str, str]:
    """The parts of an RRULE, checked against each other."""
    parts: dict[str, str] = {}
    for name, _, value in (part.partition("=") for part in text.rstrip(";").split(";")):
        if name not in {"FREQ", "UNTIL", "WKST", "BYDAY", *NUMBERS}:
            raise ValueError(f"a part {name!r}, which RFC 5545 does not know; leave it out")
        if name in parts:
            raise ValueError(f"{name} twice; write it once")
        parts[name] = value
    for name, default, choice in (("FREQ", "", FREQUENCIES), ("WKST", "MO", WEEKDAYS)):
        if parts.setdefault(name, default) not in choice:
            raise ValueError(f"{name}={parts[name]}; write one of {', '.join(choice)}")
    if "COUNT" in parts and "UNTIL" in parts:
        raise ValueError("COUNT and UNTIL; write one of them")
    for name, forbidden in _FORBIDDEN.items():
        if name in parts and parts["FREQ"] in forbidden:
            others = ", ".join(each for each in FREQUENCIES if each not in forbidden)
            raise ValueError(f"{name} with FREQ={parts['FREQ']}; use FREQ={others}")
    return parts


def read_numbers(name: str, text: str) -> tuple[int, ...]:
    """The numbers of a part, ascending; raises ValueError for one that it cannot have."""
    high = NUMBERS[name]
    low = -high if name in _SIGNED else 0 if name in _CLOCK else 1
    found = []
    for each in text.split(",") if name.startswith("BY") else [text]:
        number = int(each) if re.fullmatch("[+-]?[0-9]{1,9}", each) else high + 1
        if not low <= number <= high or (name in _SIGNED and number == 0):
            bounds = f"from {low} to {high}{', but not 0' if name in _SIGNED else ''}"
            raise ValueError(f"{name}={each}; write a number {bounds}")
        found.append(number)
    return tuple(sorted(set(found)))


def read_weekdays(text: str, most: int) -> tuple[tuple[int, int], ...]:
    """BYDAY: weekdays, 0 is Monday, and which one of the month or year; 0 is each."""
    found = set()
    for each in text.split(","):
        match = _WEEKDAY.fullmatch(each)
        if not match or (match[1] and not 1 <= abs(int(match[1])) <= most):
            number = f"here also with a number, -{most} to {most}, not 0" if most else "here without a number"
            raise ValueError(f"BYDAY={each}; write {', '.join(WEEKDAYS)}, {number}")
        found.add((WEEKDAYS.index(match[2]), int(match[1] or 0)))
    if any(which for _, which in found):
        # Of `MO,2TU`, dateutil makes days that are both; so a plain weekday becomes all numbered ones.
        found = {(day, n) for day, which in found for n in ([which] if which else range(1, most + 1))}
    return tuple(sorted(found))
