"""Periodic jobs: what a user declares, and how it is stored."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta, tzinfo
from functools import cached_property
from types import MappingProxyType
from typing import Any, Literal, TypeAlias

from airflow_pgmq.core import job_problems, payload
from airflow_pgmq.core.calendars import NamedDays
from airflow_pgmq.core.message_template import is_template
from airflow_pgmq.core.schedule import Slots, excluding
from airflow_pgmq.core.schedule.cron import DayMatch, Order, ambiguity
from airflow_pgmq.core.schedule.cron_slots import CronSlots
from airflow_pgmq.core.schedule.definitions import Cron, Rule, stored_rule
from airflow_pgmq.core.schedule.excluding import BusinessDay, Excluded
from airflow_pgmq.core.schedule.exclusions import Exclusions
from airflow_pgmq.core.schedule.skipping import Skipping
from airflow_pgmq.core.schedule.zones import UTC, instant, time_zone
from airflow_pgmq.errors import InvalidJobs

Overlap: TypeAlias = Literal["allow", "skip", "queue_one"]
CatchUp: TypeAlias = Literal["all", "last", "none"]

#: What is stored of a job, besides its headers and its message.
DEFINED = (
    "queue_name",
    "cron",
    "seconds",
    "timezone",
    "version",
    "overlap",
    "catch_up",
    "catch_up_max_age",
    "catch_up_limit",
    "ttl",
    "jitter",
    "start",
    "end",
    "group",
)
#: What migrations before the third did not store.
_POLICIES = ("catch_up", "catch_up_limit")


@dataclass(frozen=True, kw_only=True)
class PeriodicJob:
    """A message to be enqueued at every slot of a schedule.

    Creating one never raises: `PgmqPeriodicOperator` reports the problems of all its jobs together.

    :param name: unique within the namespace; part of the dedup key, so renaming makes a new job
    :param schedule: when: a cron expression or `Cron`, `Every`, `At` or `RRule`
    :param cron: the same, as an expression: 5 fields, or 6 with the seconds last (croniter's order);
        `@daily` and the like; `H` is hashed from the name, `L` is the last day
    :param queue_name: an existing queue
    :param message: any JSON value, or a type with one JSON form (docs/reference/values.md); strings in it are
        templates, rendered for each slot with `slot`, `slot_local`, `interval_start`, `interval_end`, `ds`,
        `ts`, `job`, `namespace` and `params`; the slot is in the headers, too
    :param timezone: the time zone of the schedule, and of what it leaves out
    :param seconds: where 6 fields have their seconds: `last`, or `first` as in Quartz and Spring; without
        it they are last, and a cron that looks as if they were first gives a warning
    :param day_match: if a cron has a day of month and a weekday: `either` of them must match, or `both`; by
        default `either`, except that `*` does not count
    :param exclude: what has no slots: dates, `"weekends"`, `Blackout`, `Calendar`, `Holidays`
    :param business_day: what to do with slots on weekends, dates and calendars of `exclude`: move them to the
        `next` or `previous` business day, at the same local time, or `skip` them
    :param params: JSON values for templates in `message` and `headers`, as `params`
    :param headers: more headers, none of `RESERVED_HEADERS`
    :param version: raise it when overlapping deploys must not undo each other
    :param ttl: after slot + ttl our consumers skip the message (header `expires_at`)
    :param expect_within: a slot whose message is not acked by slot + expect_within is overdue, which is told
        once (docs/guides/overdue.md); longer than `jitter`, and not longer than `ttl`
    :param pause_on_dead_letter: once a message of one of its slots has become a dead letter in
        `<queue>_dlq`, the next tick pauses the job until somebody resumes it (docs/guides/live_jobs.md)
    :param catch_up: what to do with slots missed while Airflow was down: `all`, `last` or `none`
    :param catch_up_max_age: `all` and `last` look back no further
    :param catch_up_limit: `all` sends at most this many missed slots, the newest ones
    :param overlap: `skip` sends a slot only if the job's previous message has left the queue, `queue_one`
        also while a consumer has it, so that at most one waits beside the one at work; then there is no
        look-ahead
    :param jitter: spread each slot by up to this much, the same in every process
    :param start: no slot before this instant; a naive one is in `timezone`
    :param end: no slot at or after this instant; a naive one is in `timezone`
    :param group: FIFO group (header `x-pgmq-group`)
    """

    name: str
    cron: str | None = None
    schedule: str | Cron | Rule | None = None
    queue_name: str
    message: Any = field(default_factory=dict)
    timezone: str = "UTC"
    seconds: Order | None = None
    headers: Mapping[str, Any] | None = None
    version: int = 0
    ttl: timedelta | None = None
    catch_up: CatchUp = "all"
    catch_up_max_age: timedelta = timedelta(days=1)
    catch_up_limit: int = 1000
    overlap: Overlap = "allow"
    jitter: timedelta = timedelta(0)
    start: datetime | None = None
    end: datetime | None = None
    group: str | None = None
    day_match: DayMatch | None = None
    exclude: Sequence[Excluded] = ()
    business_day: BusinessDay | None = None
    params: Mapping[str, Any] | None = None
    expect_within: timedelta | None = None
    pause_on_dead_letter: bool = False

    #: The days of the named calendars, given by who computes slots.
    _calendars = MappingProxyType[str, Any]({})

    def __post_init__(self) -> None:
        """A schedule that is a cron is one in the fields for it, so that it is the same job."""
        schedule = Cron(self.schedule) if isinstance(self.schedule, str) else self.schedule
        if isinstance(schedule, Cron) and self.cron is None:
            parts = {"cron": schedule.expression, "schedule": None}
            parts |= {
                name: getattr(schedule, name) for name in ("seconds", "day_match") if getattr(schedule, name)
            }
            for name, value in parts.items():
                object.__setattr__(self, name, value)

    @classmethod
    def from_definition(cls, name: str, definition: Mapping[str, Any]) -> PeriodicJob:
        """The job as it was stored; code before migration 3 did not store its policies.

        It was checked when it was stored, and is not checked again. Other code may have stored it: `unknown`
        says what this code does not understand; what it cannot read raises one of `stored_jobs.UNREADABLE`.
        """
        if not isinstance(definition, Mapping):
            raise TypeError("the definition is not a JSON object")
        given: dict[str, Any] = {
            each: definition[each] for each in ("cron", "queue_name", "message", "timezone", "headers")
        }
        given |= {each: definition[each] for each in ("version", "overlap", "group")}
        given |= {
            each: definition[each] for each in ("day_match", "business_day", "params") if each in definition
        }
        if (schedule := definition.get("schedule")) is not None:
            if "cron" in schedule:
                given["cron"] = schedule["cron"]
            else:
                given["schedule"] = stored_rule(schedule)
        given["seconds"] = _seconds_order(given["cron"], definition.get("seconds", "last"))
        if "exclude" in definition:
            given["exclude"] = excluding.from_stored(definition["exclude"])
        given |= {each: definition[each] for each in _POLICIES if each in definition}
        if "catch_up_max_age" in definition:
            given["catch_up_max_age"] = timedelta(seconds=definition["catch_up_max_age"])
        bounds: dict[str, Any] = {
            each: definition[each] and datetime.fromisoformat(definition[each]) for each in ("start", "end")
        }
        ttl, expected = definition["ttl"], definition.get("expect_within")
        return cls(
            name=name,
            pause_on_dead_letter=definition.get("pause_on_dead_letter", False),
            expect_within=None if expected is None else timedelta(seconds=expected),
            ttl=None if ttl is None else timedelta(seconds=ttl),
            jitter=timedelta(seconds=definition["jitter"]),
            **given,
            **bounds,
        )

    @property
    def has_templates(self) -> bool:
        """Whether its message or headers are rendered for each slot."""
        return is_template(self.message_json) or bool(self.headers and is_template(self.headers_json))

    @cached_property
    def params_json(self) -> str:
        """The values for its templates; raises InvalidMessage."""
        return payload.canonical(dict(self.params), what="params") if self.params else "{}"

    @cached_property
    def message_json(self) -> str:
        """The payload as it is sent, keys in order; raises InvalidMessage."""
        return payload.canonical(self.message)

    @property
    def headers_json(self) -> str:
        """The job's own headers, keys in order; raises InvalidMessage."""
        return payload.canonical(dict(self.headers), what="headers") if self.headers else "{}"

    @cached_property
    def fingerprint(self) -> str:
        """Changes when anything of the job changes."""
        return hashlib.sha256(self.definition_json.encode()).hexdigest()[:32]

    @cached_property
    def definition_json(self) -> str:
        """What is stored with the job's state: all of it, so that its successor can finish its work."""
        text = payload.dumps(self.definition, what="definition", max_bytes=None)
        return f'{text[:-1]},"headers":{self.headers_json},"message":{self.message_json}}}'

    @property
    def definition(self) -> dict[str, Any]:
        """The same in JSON types, without headers and message."""
        defined = dict(zip(DEFINED, self.definition_values, strict=False)) | self._more
        # Not in `_more`: older code may ignore these.
        if self.pause_on_dead_letter:
            defined["pause_on_dead_letter"] = True
        if self.expect_within is not None:
            defined["expect_within"] = _seconds(self.expect_within)
        # Older code, which knows none of it, must not take it for a plain cron.
        return {**defined, "cron": None} if self._more else defined

    @cached_property
    def definition_values(self) -> tuple[Any, ...]:
        """The same without names, for every tick to compare: `DEFINED`, then headers and message as JSON.

        Then all that is not as in jobs that use none of it.
        """
        values: tuple[Any, ...] = (
            self.queue_name,
            self.cron,
            (self.seconds or "last") if self.cron is not None else None,
            self.timezone,
            self.version,
            self.overlap,
            self.catch_up,
            _seconds(self.catch_up_max_age),
            self.catch_up_limit,
            _seconds(self.ttl),
            _seconds(self.jitter),
            self.start.isoformat() if self.start else None,
            self.end.isoformat() if self.end else None,
            self.group,
            self.headers_json,
            self.message_json,
        )
        if self.expect_within is not None:
            values = (*values, f"expect_within {_seconds(self.expect_within)}")
        if self.pause_on_dead_letter:
            values = (*values, "pause_on_dead_letter")
        return (*values, payload.canonical(self._more)) if self._is_more else values

    @property
    def _is_more(self) -> bool:
        """Whether it is more than a cron and a message; most jobs are not, and a tick asks all of them."""
        return bool(
            self.exclude
            or self.params
            or self.schedule is not None
            or self.day_match
            or self.business_day
            or self.has_templates
        )

    @cached_property
    def _more(self) -> dict[str, Any]:
        """What is stored only of jobs that use it: what was stored before stays the same."""
        more: dict[str, Any] = {"day_match": self.day_match, "business_day": self.business_day}
        if self.has_templates:
            more["templates"] = True
        if self.schedule is not None:
            more["schedule"] = self.schedule.stored()  # type: ignore[union-attr]
        if self.exclude:
            more["exclude"] = excluding.stored(self.exclude)
        if self.params:
            more["params"] = json.loads(self.params_json)
        more = {name: value for name, value in more.items() if value is not None}
        return {"schedule": {"cron": self.cron}, **more} if more else {}

    def sends_as(self, definition: Mapping[str, Any]) -> bool:
        """Whether the stored job's messages and slots are the same; policies for missed slots may differ."""
        policies = {*_POLICIES, "catch_up_max_age", "expect_within", "pause_on_dead_letter"}
        own = json.loads(self.definition_json)
        # Before migration 3, seconds were always last, and this was not stored.
        stored = {"seconds": "last", **definition}
        names = own.keys() | stored.keys()
        return {name for name in names if not payload.is_same(own.get(name), stored.get(name))} <= policies

    @cached_property
    def slots(self) -> Slots:
        """The job's slots, whatever `start` and `end` are.

        :raises CalendarNotFound: a calendar was not given
        """
        zone = time_zone(self.timezone)
        if not self.exclude and self.business_day is None:
            return self._slots(zone)
        is_local = self.cron is not None or bool(self.schedule.is_local)  # type: ignore[union-attr]
        return excluding.applied(
            self._slots, self.exclude, self.business_day, zone, self._calendars, is_local=is_local
        )

    @property
    def exclusions(self) -> Exclusions:
        """What it leaves out, with the reasons.

        :raises CalendarNotFound: a calendar was not given
        """
        return excluding.exclusions(
            self.exclude, self.business_day, time_zone(self.timezone), self._calendars
        )

    def _slots(self, zone: tzinfo) -> Slots:
        """Those of the schedule alone."""
        if self.cron is not None:
            return CronSlots(self.cron, zone, self.name, self.seconds, self.day_match)
        return self.schedule.slots(zone)  # type: ignore[union-attr]

    @property
    def looks_ahead(self) -> bool:
        """Whether slots are sent before their time: not if it depends on the message before."""
        return self.overlap == "allow"

    @property
    def calendar_names(self) -> set[str]:
        """The calendars in the database that its slots depend on."""
        return excluding.calendar_names(self.exclude) if self.exclude else set()

    def on(self, days: NamedDays) -> PeriodicJob:
        """The job with the days of its calendars."""
        if not self.exclude or not self.calendar_names:
            return self
        job = replace(self)
        object.__setattr__(job, "_calendars", days)
        return job

    def without(self, skipped: Collection[datetime]) -> PeriodicJob:
        """The job without slots that people left out."""
        if not skipped:
            return self
        job = replace(self)
        # In place of what the property would compute.
        vars(job)["slots"] = Skipping(self.slots, skipped)
        return job

    def instant(self, bound: datetime | None) -> datetime | None:
        """`start` or `end` in UTC: naive values are wall-clock times of the job's zone."""
        if bound is None:
            return None
        if bound.tzinfo is not None:
            return bound.astimezone(UTC)
        return instant(bound, time_zone(self.timezone))

    def problems(self, max_bytes: int | None = payload.DEFAULT_MAX_BYTES) -> list[str]:
        """Everything that is wrong with this job, each as a sentence."""
        return job_problems.of(self, max_bytes)

    def unknown(self) -> list[str]:
        """What this code does not understand of a job that other code has stored, each as a sentence.

        Only what its slots depend on, because it runs at every refresh of a page.
        """
        return [*job_problems.of_schedule(self), *job_problems.of_policies(self)]

    def doubts(self) -> list[str]:
        """What is valid but perhaps not what was meant, for a job without problems."""
        found = ambiguity(self.cron, self.name, self.seconds) if self.cron is not None else None
        return [found] if found else []


def _seconds_order(cron: Any, stored: Order | None) -> Order | None:
    """Where a stored cron has its seconds; None where it has none and nobody said it."""
    if not isinstance(cron, str) or (stored == "last" and len(cron.split()) < 6):
        return None
    return stored


def check(jobs: Sequence[PeriodicJob], max_bytes: int | None = payload.DEFAULT_MAX_BYTES) -> None:
    """Raise InvalidJobs with every problem of every job, including duplicate names."""
    problems: dict[str, list[str]] = {}
    seen: set[str] = set()
    for position, job in enumerate(jobs):
        if not isinstance(job, PeriodicJob):
            problems[f"jobs[{position}]"] = [f"is a {type(job).__name__}, not a PeriodicJob"]
            continue
        found = job.problems(max_bytes)
        name = str(job.name)
        if name in seen:
            found.append("the name is used by another job of the same namespace")
        seen.add(name)
        if found:
            problems.setdefault(name, []).extend(found)
    if problems:
        raise InvalidJobs(problems)


def _seconds(value: timedelta | None) -> float | None:
    return value.total_seconds() if value is not None else None
