"""Wall-clock times of a zone → instants in UTC."""

from __future__ import annotations

from datetime import date, datetime, timedelta, timezone, tzinfo
from functools import lru_cache
from zoneinfo import ZoneInfo

UTC = timezone.utc
#: Slots exist in these years.
YEARS = range(1900, 3000)


def instant(wall: datetime, zone: tzinfo) -> datetime:
    """A wall-clock time of the zone in UTC, by the rule for fixed-time jobs."""
    if (steady := _steady_offset(wall, zone)) is not None:
        return (wall - steady).replace(tzinfo=UTC)
    local = wall.replace(tzinfo=zone, fold=0)
    first = local.astimezone(UTC)
    # A time in a gap does not come back; of one zone, wall-clock times are compared.
    return first if first.astimezone(zone) == local else _gap_end(*both(wall, zone)[::-1], zone)


def _steady_offset(wall: datetime, zone: tzinfo) -> timedelta | None:
    """How far the zone is from UTC at a wall-clock time, if it is the same all day."""
    if wall.year not in YEARS:
        return None
    try:
        return _known_offset_of_day(zone, wall.date())
    except TypeError:
        # Not hashable, as a Dag's own zone is with pendulum 3.1. Jobs have others, so few days are asked for.
        return _offset_of_day(zone, wall.date())


def _offset_of_day(zone: tzinfo, day: date) -> timedelta | None:
    """How far the zone is from UTC on a day of its clocks; None if that changes on it."""
    midnight = datetime(day.year, day.month, day.day, tzinfo=zone)
    end = midnight + timedelta(days=1)
    found = offset(midnight)
    # No zone changes and changes back on a day. The other fold is of a change over the midnight at its end.
    return found if found == offset(end) == offset(end.replace(fold=1)) else None


# Many jobs have slots on the same days. So many are a year's days of 40 zones.
_known_offset_of_day = lru_cache(maxsize=16_384)(_offset_of_day)


def both(wall: datetime, zone: tzinfo) -> tuple[datetime, datetime]:
    """The two instants that a wall-clock time may mean; the first is the later one in a gap only."""
    local = wall.replace(tzinfo=zone, fold=0)
    return local.astimezone(UTC), local.replace(fold=1).astimezone(UTC)


def edge(at: datetime, zone: tzinfo, *, backward: bool) -> datetime:
    """The wall-clock time from which on a walk finds all slots on that side of an instant."""
    local = at.astimezone(zone)
    wall = local.replace(tzinfo=None, microsecond=0)
    if _steady_offset(wall, zone) is not None:
        return wall
    # In a repeated hour, the same wall-clock times occur twice.
    overlap = abs(offset(local) - offset(local.replace(fold=1 - local.fold)))
    return wall + (overlap if backward else -overlap)


def _gap_end(before: datetime, after: datetime, zone: tzinfo) -> datetime:
    """The first second with the new offset, found by halving."""
    later = offset(after.astimezone(zone))
    while after - before > timedelta(seconds=1):
        middle = before + timedelta(seconds=(after - before) // timedelta(seconds=2))
        if offset(middle.astimezone(zone)) == later:
            after = middle
        else:
            before = middle
    return after.replace(microsecond=0)


def offset(local: datetime) -> timedelta:
    """How far a local time is from UTC."""
    return local.utcoffset() or timedelta(0)


@lru_cache(maxsize=1024)
def time_zone(name: str) -> ZoneInfo:
    """Load a zone once; raises ValueError for a name the system's tz database lacks."""
    try:
        return ZoneInfo(name)
    except Exception as exc:  # zoneinfo leaks KeyError, ValueError and OSError, by the form of the name
        raise ValueError(f"unknown time zone {name!r}; use a name such as 'Europe/Berlin' or 'UTC'") from exc
