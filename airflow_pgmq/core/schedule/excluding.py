"""What a job leaves out: dates, weekends, windows, calendars; as users write it and as it is stored."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timezone, tzinfo
from functools import lru_cache
from typing import Any, Literal, TypeAlias, get_args

from airflow_pgmq.core.calendars import NamedDays
from airflow_pgmq.core.schedule import Slots
from airflow_pgmq.core.schedule.business_days import BusinessDaySlots
from airflow_pgmq.core.schedule.definitions import plain
from airflow_pgmq.core.schedule.exclusions import DayOff, Exclusions, Gap, OpenSlots, weekend
from airflow_pgmq.core.schedule.wall_slots import WallSlots
from airflow_pgmq.core.schedule.zones import instant
from airflow_pgmq.errors import CalendarNotFound

BusinessDay: TypeAlias = Literal["next", "previous", "skip"]
WEEKENDS = "weekends"


@dataclass(frozen=True)
class Calendar:
    """The days of a calendar in the database: `hook.put_calendar`, `airflow pgmq calendars`.

    :param name: its name; a job whose calendar is missing is reported, and its slots wait for it
    """

    name: str


@dataclass(frozen=True)
class Holidays:
    """The public holidays of a country, by the package `holidays` (extra `holidays`).

    :param country: its code in ISO 3166, such as `DE`
    :param subdivision: the code of a state, province or canton, such as `BY`
    """

    country: str
    subdivision: str | None = None


@dataclass(frozen=True)
class Blackout:
    """A window without slots.

    :param start: its first instant; without a zone, in the job's
    :param end: the first instant behind it
    """

    start: datetime
    end: datetime

    def __post_init__(self) -> None:
        object.__setattr__(self, "start", plain(self.start))
        object.__setattr__(self, "end", plain(self.end))


Excluded: TypeAlias = "date | Calendar | Holidays | Blackout | Literal['weekends']"


def problems(exclude: Sequence[Any], business_day: Any) -> Iterator[str]:
    """Everything that is wrong, each as a sentence."""
    if business_day not in (None, *get_args(BusinessDay)):
        yield f"business_day must be 'next', 'previous', 'skip' or None, not {business_day!r}"
    if isinstance(exclude, str) or not isinstance(exclude, Sequence):
        yield f"exclude must be a list, not {type(exclude).__name__}"
        return
    for each in exclude:
        if wrong := _problem(each):
            yield wrong


def _problem(each: Any) -> str | None:
    if isinstance(each, Blackout):
        if not isinstance(each.start, datetime) or not isinstance(each.end, datetime):
            return f"Blackout needs two datetimes, not {each.start!r} and {each.end!r}"
        if (each.start.tzinfo is None) != (each.end.tzinfo is None):
            return "Blackout needs a zone for both of its instants, or for neither"
        return None if each.start < each.end else f"Blackout ends at {each.end}, before it starts"
    if isinstance(each, Holidays):
        try:
            _holidays(each)
        except (ValueError, TypeError, NotImplementedError) as exc:
            return str(exc)
        return None
    if isinstance(each, Calendar):
        return None if isinstance(each.name, str) and each.name else "Calendar needs a name"
    if each == WEEKENDS or (isinstance(each, date) and not isinstance(each, datetime)):
        return None
    return f"exclude takes dates, 'weekends', Blackout, Calendar and Holidays, not {each!r}"


def applied(
    own: Callable[[tzinfo], Slots],
    exclude: Sequence[Excluded],
    business_day: BusinessDay | None,
    zone: tzinfo,
    calendars: NamedDays,
    *,
    is_local: bool,
) -> Slots:
    """A schedule without what is left out, or with it on business days.

    :param own: the schedule in a zone
    :param is_local: whether its slots are times of day
    :raises CalendarNotFound: a calendar is in no row
    """
    left_out = exclusions(exclude, business_day, zone, calendars)
    days, windows = left_out.days, left_out.windows
    slots = own(zone)
    if business_day in ("next", "previous"):
        # A time of day that its own day does not have, because clocks changed, is moved as that time.
        moved = BusinessDaySlots(
            own(timezone.utc) if is_local else slots,
            Exclusions(timezone.utc if is_local else zone, days),
            business_day,
        )
        slots = WallSlots(moved, zone) if is_local else moved
        days = []
    return OpenSlots(slots, Exclusions(zone, days, windows)) if days or windows else slots


def exclusions(
    exclude: Sequence[Excluded], business_day: BusinessDay | None, zone: tzinfo, calendars: NamedDays
) -> Exclusions:
    """The days off and windows, with their reasons.

    :raises CalendarNotFound: a calendar is in no row
    """
    windows = [_window(each, zone) for each in exclude if isinstance(each, Blackout)]
    days = _days_off(exclude, calendars)
    if business_day is not None:
        days.append(weekend)
    return Exclusions(zone, days, windows)


def calendar_names(exclude: Sequence[Any]) -> set[str]:
    """The calendars that are needed."""
    return {each.name for each in exclude if isinstance(each, Calendar)}


def _days_off(exclude: Sequence[Excluded], calendars: NamedDays) -> list[DayOff]:
    days: list[DayOff] = []
    if dates := {each: "left out" for each in exclude if isinstance(each, date)}:
        days.append(dates.get)
    if WEEKENDS in exclude:
        days.append(weekend)
    for each in exclude:
        if isinstance(each, Holidays):
            days.append(_holidays(each).get)
        elif isinstance(each, Calendar):
            if each.name not in calendars:
                raise CalendarNotFound(each.name)
            days.append(calendars[each.name].get)
    return days


@lru_cache
def _holidays(of: Holidays) -> Any:
    """A mapping from dates to names; it computes each year when it is asked for."""
    try:
        import holidays
    except ImportError:
        raise ValueError(
            "Holidays needs the package holidays: install airflow-provider-pgmq[holidays]"
        ) from None
    return holidays.country_holidays(of.country, subdiv=of.subdivision)


def _window(blackout: Blackout, zone: tzinfo) -> Gap:
    start, end = (
        each.astimezone(timezone.utc) if each.tzinfo else instant(each, zone)
        for each in (blackout.start, blackout.end)
    )
    return Gap(start, end, "blackout")


def stored(exclude: Sequence[Excluded]) -> list[Any]:
    """In JSON types."""
    return [_stored(each) for each in exclude]


def _stored(each: Excluded) -> Any:
    if isinstance(each, Calendar):
        return {"calendar": each.name}
    if isinstance(each, Holidays):
        return {"holidays": each.country, "subdivision": each.subdivision}
    if isinstance(each, Blackout):
        return {"start": each.start.isoformat(), "end": each.end.isoformat()}
    return each.isoformat() if isinstance(each, date) else each


def from_stored(found: Sequence[Any]) -> tuple[Excluded, ...]:
    """What was stored; raises KeyError or ValueError for what only newer code knows."""
    return tuple(map(_from_stored, found))


def _from_stored(each: Any) -> Excluded:
    if isinstance(each, str):
        return "weekends" if each == WEEKENDS else date.fromisoformat(each)
    if "calendar" in each:
        return Calendar(each["calendar"])
    if "holidays" in each:
        return Holidays(each["holidays"], each["subdivision"])
    return Blackout(datetime.fromisoformat(each["start"]), datetime.fromisoformat(each["end"]))
