"""Schedules and what they leave out, in documents."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import date, datetime
from functools import partial
from typing import Any, TypeVar, get_args

from airflow_pgmq.core.job_documents import durations
from airflow_pgmq.core.job_documents.kinds import DATE, Kind, choice, day, duration, instant, text, told
from airflow_pgmq.core.job_documents.places import Place, gathered, kind_of, mapping, one_of, probably
from airflow_pgmq.core.schedule.cron import ORDERS, DayMatch
from airflow_pgmq.core.schedule.definitions import ANCHOR, At, Cron, Every, RRule, Rule
from airflow_pgmq.core.schedule.excluding import WEEKENDS, Blackout, Calendar, Excluded, Holidays

T = TypeVar("T")

SECONDS = choice(*ORDERS)
DAY_MATCH = choice(*get_args(DayMatch))

#: The fields of a schedule, by the one that says its kind.
_OF_A_SCHEDULE: Mapping[str, tuple[str, ...]] = {
    "cron": ("seconds", "day_match"),
    "every": ("anchor",),
    "at": (),
    "rrule": (),
}
#: The same of what is left out.
_OF_EXCLUDED: Mapping[str, tuple[str, ...]] = {
    "calendar": (),
    "holidays": ("subdivision",),
    "start": ("end",),
}


def schedule(value: Any, place: Place) -> str | Cron | Rule:
    """A cron expression, or a mapping of one of the kinds of schedules."""
    told(value)
    if isinstance(value, str):
        return text(value, place)
    if not isinstance(value, Mapping):
        raise place.wrong(
            f'must be a cron expression such as "0 6 * * *", or a mapping with {one_of([*_OF_A_SCHEDULE])}, '
            f"not {kind_of(value)}"
        )
    kind = _kind(value, place, _OF_A_SCHEDULE, "a schedule")
    if kind == "cron":
        found = _parts(value, place, cron=text, seconds=SECONDS.read, day_match=DAY_MATCH.read)
        return Cron(found["cron"], found.get("seconds"), found.get("day_match"))
    if kind == "every":
        found = _parts(value, place, every=duration, anchor=instant)
        return Every(found["every"], found.get("anchor", ANCHOR))
    if kind == "at":
        return At(*_parts(value, place, at=_instants)["at"])
    return RRule(_parts(value, place, rrule=text)["rrule"])


def _instants(value: Any, place: Place) -> list[datetime]:
    return _each(value, place, instant) if isinstance(value, (list, tuple)) else [instant(value, place)]


def exclude(value: Any, place: Place) -> tuple[Excluded, ...]:
    """A list of what is left out."""
    told(value)
    if not isinstance(value, (list, tuple)):
        raise place.wrong(f"must be a list, not {kind_of(value)}")
    return tuple(_each(value, place, _excluded))


def _excluded(value: Any, place: Place) -> Excluded:
    told(value)
    if isinstance(value, str) and value == WEEKENDS:
        return "weekends"
    if isinstance(value, date) or (isinstance(value, str) and DATE.fullmatch(value)):
        return day(value, place)
    if not isinstance(value, Mapping):
        raise place.wrong(
            f"must be a date such as 2026-12-24, weekends, or a mapping with {one_of([*_OF_EXCLUDED])}, "
            f"not {kind_of(value)}{probably(value, [WEEKENDS])}"
        )
    kind = _kind(value, place, _OF_EXCLUDED, "what is left out")
    if kind == "calendar":
        return Calendar(_parts(value, place, calendar=text)["calendar"])
    if kind == "holidays":
        found = _parts(value, place, holidays=text, subdivision=text)
        return Holidays(found["holidays"], found.get("subdivision"))
    if "end" not in value:
        raise place.wrong("a window without slots needs its end, too")
    found = _parts(value, place, start=instant, end=instant)
    return Blackout(found["start"], found["end"])


def _kind(value: Any, place: Place, kinds: Mapping[str, tuple[str, ...]], what: str) -> str:
    """The one field that says what it is; others are checked to belong to it."""
    known = [*kinds, *(name for names in kinds.values() for name in names)]
    mapping(value, place, known, what)
    found = [kind for kind in kinds if kind in value]
    if len(found) != 1:
        instead = f"not {' and '.join(found)} together" if found else "and this has none of them"
        raise place.wrong(f"{what} has one of {one_of([*kinds])}, {instead}")
    mapping(value, place, (found[0], *kinds[found[0]]), f"{what} with {found[0]}")
    return found[0]


def _parts(value: Mapping[str, Any], place: Place, **readers: Callable[[Any, Place], Any]) -> dict[str, Any]:
    """The fields that are there, read."""
    names = [name for name in readers if name in value]
    found = gathered(partial(readers[name], value[name], place.at(value, name)) for name in names)
    return dict(zip(names, found, strict=True))


def _each(values: Sequence[Any], place: Place, read: Callable[[Any, Place], T]) -> list[T]:
    return gathered(partial(read, each, place.at(values, position)) for position, each in enumerate(values))


def written_schedule(value: str | Cron | Rule) -> Any:
    """A schedule in JSON types."""
    if isinstance(value, Cron):
        parts = {"cron": value.expression, "seconds": value.seconds, "day_match": value.day_match}
        return {name: part for name, part in parts.items() if part is not None}
    if isinstance(value, Every):
        anchor = {} if value.anchor == ANCHOR else {"anchor": value.anchor.isoformat()}
        return {"every": durations.short(value.interval), **anchor}
    if isinstance(value, At):
        instants = [each.isoformat() for each in value.instants]
        return {"at": instants[0] if len(instants) == 1 else instants}
    return {"rrule": value.rule} if isinstance(value, RRule) else value


def _written_excluded(value: Excluded) -> Any:
    if isinstance(value, Calendar):
        return {"calendar": value.name}
    if isinstance(value, Holidays):
        return {"holidays": value.country} | (
            {"subdivision": value.subdivision} if value.subdivision is not None else {}
        )
    if isinstance(value, Blackout):
        return {"start": value.start.isoformat(), "end": value.end.isoformat()}
    return value.isoformat() if isinstance(value, date) else value


SCHEDULE = Kind(schedule, written_schedule)
EXCLUDE = Kind(exclude, lambda value: [_written_excluded(each) for each in value])
