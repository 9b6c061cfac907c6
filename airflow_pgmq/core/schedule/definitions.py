"""Schedules as users write them and as they are stored."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone, tzinfo
from typing import Any, TypeAlias

from airflow_pgmq.core.schedule import Slots
from airflow_pgmq.core.schedule.cron import DayMatch, Order
from airflow_pgmq.core.schedule.interval_slots import IntervalSlots
from airflow_pgmq.core.schedule.recurrence import RecurrenceSlots, problem
from airflow_pgmq.core.schedule.single_slots import SingleSlots
from airflow_pgmq.core.schedule.zones import instant

#: A Monday, at midnight in the job's zone.
ANCHOR = datetime(1970, 1, 5)
LONGEST = timedelta(days=3660)


@dataclass(frozen=True)
class Cron:
    """A cron expression, where it needs more than its text.

    :param expression: 5 fields, or 6 with the seconds last
    :param seconds: where 6 fields have their seconds: `last`, or `first` as in Quartz and Spring
    :param day_match: if day of month and weekday are both given: `either` of them must match, or `both`; by
        default as in every cron, which is `either` unless one of them is `*`
    """

    expression: str
    seconds: Order | None = None
    day_match: DayMatch | None = None


@dataclass(frozen=True)
class Every:
    """Slots at equal distances from an anchor, on both sides of it.

    Elapsed time, whatever clocks do; but whole days from an anchor without a zone are days of the job's time
    zone, so `Every(timedelta(weeks=2), anchor=datetime(2026, 1, 5, 9))` is at nine all year.

    :param interval: whole seconds, at least one
    :param anchor: one of the slots; without a zone, in the job's; by default midnight of Monday, 1970-01-05
    """

    interval: timedelta
    anchor: datetime = ANCHOR

    def __post_init__(self) -> None:
        object.__setattr__(self, "interval", _plain_duration(self.interval))
        object.__setattr__(self, "anchor", plain(self.anchor))

    def problems(self) -> list[str]:
        """What is wrong, each as a sentence."""
        second = timedelta(seconds=1)
        if not isinstance(self.interval, timedelta) or not second <= self.interval <= LONGEST:
            return [f"Every needs a timedelta from one second to ten years, not {self.interval!r}"]
        if self.interval % second:
            return [f"Every needs whole seconds, not {self.interval}"]
        return _wrong_instant("the anchor of Every", self.anchor)

    @property
    def is_local(self) -> bool:
        """Whether its slots are times of day."""
        return self.anchor.tzinfo is None and not self.interval % timedelta(days=1)

    def slots(self, zone: tzinfo) -> Slots:
        """Its slots."""
        return IntervalSlots(self.interval, self.anchor, zone)

    def stored(self) -> dict[str, Any]:
        """In JSON types."""
        return {"every": self.interval.total_seconds(), "anchor": self.anchor.isoformat()}

    def __str__(self) -> str:
        anchor = "" if self.anchor == ANCHOR else f" from {self.anchor.isoformat(' ')}"
        return f"every {self.interval}{anchor}"


@dataclass(frozen=True, init=False)
class At:
    """Single slots.

    :param instants: whole seconds; those without a zone are in the job's
    """

    instants: tuple[datetime, ...]
    is_local = False

    def __init__(self, *instants: datetime) -> None:
        object.__setattr__(self, "instants", tuple(map(plain, instants)))

    def problems(self) -> list[str]:
        """What is wrong, each as a sentence."""
        if not self.instants:
            return ["At needs at least one instant"]
        return [wrong for each in self.instants for wrong in _wrong_instant("At", each)]

    def slots(self, zone: tzinfo) -> Slots:
        """Its slots."""
        return SingleSlots(
            each.astimezone(timezone.utc) if each.tzinfo else instant(each, zone) for each in self.instants
        )

    def stored(self) -> dict[str, Any]:
        """In JSON types."""
        return {"at": [each.isoformat() for each in self.instants]}

    def __str__(self) -> str:
        more = f" and {len(self.instants) - 1} more" if len(self.instants) > 1 else ""
        return f"at {self.instants[0].isoformat(' ')}{more}"


@dataclass(frozen=True)
class RRule:
    """A recurrence rule of RFC 5545, in the job's time zone.

    :param rule: `FREQ=…`, or lines of DTSTART, RRULE and EXDATE as in a calendar file
    """

    rule: str
    # Its lines may name a zone of their own.
    is_local = False

    def problems(self) -> list[str]:
        """What is wrong, each as a sentence."""
        if not isinstance(self.rule, str):
            return [f"RRule needs a string, not {type(self.rule).__name__}"]
        wrong = problem(self.rule, timezone.utc)
        return [wrong] if wrong else []

    def slots(self, zone: tzinfo) -> Slots:
        """Its slots."""
        return RecurrenceSlots(self.rule, zone)

    def stored(self) -> dict[str, Any]:
        """In JSON types."""
        return {"rrule": self.rule}

    def __str__(self) -> str:
        return self.rule


#: All but crons, whose parts are fields of the job.
Rule: TypeAlias = Every | At | RRule


def stored_rule(stored: Mapping[str, Any]) -> Rule:
    """A rule as it was stored; raises KeyError for one that only newer code knows."""
    if "every" in stored:
        return Every(timedelta(seconds=stored["every"]), datetime.fromisoformat(stored["anchor"]))
    if "at" in stored:
        return At(*map(datetime.fromisoformat, stored["at"]))
    return RRule(stored["rrule"])


def plain(value: Any) -> Any:
    """An instant without the arithmetic and the text of a subclass, such as pendulum's; if aware, in UTC."""
    if not isinstance(value, datetime):
        return value
    parts = (value.year, value.month, value.day, value.hour, value.minute, value.second, value.microsecond)
    found = datetime(*parts, tzinfo=value.tzinfo, fold=value.fold)
    try:
        return found.astimezone(timezone.utc) if value.tzinfo else found
    except OverflowError:
        # Far from the years that slots may have; `problems` says so.
        return found


def _plain_duration(value: Any) -> Any:
    if not isinstance(value, timedelta):
        return value
    return timedelta(microseconds=timedelta.__floordiv__(value, timedelta(microseconds=1)))


def _wrong_instant(what: str, value: object) -> list[str]:
    if not isinstance(value, datetime) or not 1970 <= value.year <= 2999:
        return [f"{what} needs a datetime between 1970 and 2999, not {value!r}"]
    return [f"{what} needs whole seconds, not {value}"] if value.microsecond else []
