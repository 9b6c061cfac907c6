"""Periodic jobs: what a user declares, what is wrong with it, and what a deploy changes."""

from __future__ import annotations

import hashlib
import json
import marshal
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from functools import cached_property
from typing import Any, Literal

from airflow_pgmq.core import names, payload
from airflow_pgmq.core.schedule import Slots
from airflow_pgmq.core.schedule.cron import ORDERS, Order, ambiguity, problem
from airflow_pgmq.core.schedule.cron_slots import CronSlots
from airflow_pgmq.core.schedule.zones import UTC, instant, time_zone
from airflow_pgmq.errors import InvalidInput, InvalidJobs

MAX_JITTER = timedelta(days=1)
MAX_AGE = timedelta(days=3660)
#: What its column in the database can hold.
MAX_VERSION = 2**31 - 1
#: Headers that this package writes.
RESERVED_HEADERS = frozenset(
    {"dedup_key", "job", "namespace", "slot", "version", "expires_at", "source"}
    | {"untried", "released_read"}
)
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
#: What a job that other code has stored may raise, when it is read or later, if this code cannot read it.
UNREADABLE = (AttributeError, KeyError, OverflowError, TypeError, ValueError)


@dataclass(frozen=True, kw_only=True)
class PeriodicJob:
    """A message to be enqueued at every slot of a cron expression.

    Creating one never raises: `PgmqPeriodicOperator` reports the problems of all its jobs together.

    :param name: unique within the namespace; part of the dedup key, so renaming makes a new job
    :param cron: 5 fields, or 6 with the seconds last (croniter's order); `@daily` and the like; `H` is
        hashed from the name, `L` is the last day
    :param queue_name: an existing queue
    :param message: any JSON value, or a type with one JSON form (docs/values.md); the slot
        is in the headers
    :param timezone: the time zone of `cron`
    :param seconds: where 6 fields have their seconds: `last`, or `first` as in Quartz and Spring; without
        it they are last, and a cron that looks as if they were first gives a warning
    :param headers: more headers, none of `RESERVED_HEADERS`
    :param version: raise it when overlapping deploys must not undo each other
    :param ttl: after slot + ttl our consumers skip the message (header `expires_at`)
    :param catch_up: what to do with slots missed while Airflow was down: `all`, `last` or `none`
    :param catch_up_max_age: `all` and `last` look back no further
    :param catch_up_limit: `all` sends at most this many missed slots, the newest ones
    :param overlap: `skip` sends a slot only if the job's previous message has left the queue; then
        there is no look-ahead
    :param jitter: spread each slot by up to this much, the same in every process
    :param start: no slot before this instant; a naive one is in `timezone`
    :param end: no slot at or after this instant; a naive one is in `timezone`
    :param group: FIFO group (header `x-pgmq-group`)
    """

    name: str
    cron: str
    queue_name: str
    message: Any = field(default_factory=dict)
    timezone: str = "UTC"
    seconds: Order | None = None
    headers: Mapping[str, Any] | None = None
    version: int = 0
    ttl: timedelta | None = None
    catch_up: Literal["all", "last", "none"] = "all"
    catch_up_max_age: timedelta = timedelta(days=1)
    catch_up_limit: int = 1000
    overlap: Literal["allow", "skip"] = "allow"
    jitter: timedelta = timedelta(0)
    start: datetime | None = None
    end: datetime | None = None
    group: str | None = None

    @classmethod
    def from_definition(cls, name: str, definition: Mapping[str, Any]) -> PeriodicJob:
        """The job as it was stored; code before migration 3 did not store its policies.

        It was checked when it was stored, and is not checked again. Other code may have stored it: `unknown`
        says what this code does not understand; what it cannot read raises one of `UNREADABLE`.
        """
        if not isinstance(definition, Mapping):
            raise TypeError("the definition is not a JSON object")
        given: dict[str, Any] = {
            each: definition[each] for each in ("cron", "queue_name", "message", "timezone", "headers")
        }
        given |= {each: definition[each] for each in ("version", "overlap", "group")}
        given["seconds"] = definition.get("seconds", "last")
        given |= {each: definition[each] for each in _POLICIES if each in definition}
        if "catch_up_max_age" in definition:
            given["catch_up_max_age"] = timedelta(seconds=definition["catch_up_max_age"])
        bounds: dict[str, Any] = {
            each: definition[each] and datetime.fromisoformat(definition[each]) for each in ("start", "end")
        }
        ttl = definition["ttl"]
        return cls(
            name=name,
            ttl=None if ttl is None else timedelta(seconds=ttl),
            jitter=timedelta(seconds=definition["jitter"]),
            **given,
            **bounds,
        )

    @cached_property
    def message_json(self) -> str:
        """The payload as it is sent, keys in order; raises InvalidMessage."""
        return payload.canonical(self.message)

    @cached_property
    def fingerprint(self) -> str:
        """Changes when anything of the job changes."""
        return hashlib.sha256(self.definition_json.encode()).hexdigest()[:32]

    @cached_property
    def definition_json(self) -> str:
        """What is stored with the job's state: all of it, so that its successor can finish its work."""
        *values, headers, message = self.definition_values
        text = payload.dumps(dict(zip(DEFINED, values, strict=True)), what="definition", max_bytes=None)
        return f'{text[:-1]},"headers":{headers},"message":{message}}}'

    @cached_property
    def definition_values(self) -> tuple[Any, ...]:
        """The same without names, for every tick to compare: `DEFINED`, then headers and message as JSON."""
        return (
            self.queue_name,
            self.cron,
            self.seconds or "last",
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
            payload.canonical(dict(self.headers), what="headers") if self.headers else "{}",
            self.message_json,
        )

    def sends_as(self, definition: Mapping[str, Any]) -> bool:
        """Whether the stored job's messages and slots are the same; policies for missed slots may differ."""
        policies = {*_POLICIES, "catch_up_max_age"}
        own = json.loads(self.definition_json)
        # Before migration 3, seconds were always last, and this was not stored.
        stored = {"seconds": "last", **definition}
        names = own.keys() | stored.keys()
        return {name for name in names if not payload.is_same(own.get(name), stored.get(name))} <= policies

    @cached_property
    def slots(self) -> Slots:
        """The job's cron in its zone."""
        return CronSlots(self.cron, self.timezone, self.name, self.seconds)

    def instant(self, bound: datetime | None) -> datetime | None:
        """`start` or `end` in UTC: naive values are wall-clock times of the job's zone."""
        if bound is None:
            return None
        if bound.tzinfo is not None:
            return bound.astimezone(UTC)
        return instant(bound, time_zone(self.timezone))

    def problems(self, max_bytes: int | None = payload.DEFAULT_MAX_BYTES) -> list[str]:
        """Everything that is wrong with this job, each as a sentence."""
        return [
            *_refusal(lambda: names.job(self.name)),
            *_refusal(lambda: names.queue(self.queue_name)),
            *self._wrong_schedule(),
            *self._wrong_policies(),
            *self._wrong_durations(),
            *_refusal(lambda: payload.check_size(self.message_json, max_bytes)),
            *self._wrong_headers(),
        ]

    def unknown(self) -> list[str]:
        """What this code does not understand of a job that other code has stored, each as a sentence.

        Only what its slots depend on, because it runs at every refresh of a page.
        """
        return [*self._wrong_schedule(), *self._wrong_policies()]

    def doubts(self) -> list[str]:
        """What is valid but perhaps not what was meant, for a job without problems."""
        found = ambiguity(self.cron, self.name, self.seconds)
        return [found] if found else []

    def _wrong_schedule(self) -> Iterator[str]:
        if not isinstance(self.cron, str):
            yield f"cron must be a string, not {type(self.cron).__name__}"
        elif self.seconds not in (None, *ORDERS):
            yield f"seconds must be 'first', 'last' or None, not {self.seconds!r}"
        elif wrong := problem(self.cron, str(self.name), self.seconds):
            yield wrong
        if not isinstance(self.timezone, str):
            yield f"timezone must be a string, not {type(self.timezone).__name__}"
            return
        try:
            time_zone(self.timezone)
        except ValueError as exc:
            yield str(exc)
        else:
            yield from self._wrong_bounds()

    def _wrong_bounds(self) -> Iterator[str]:
        bounds = {"start": self.start, "end": self.end}
        wrong = [name for name, bound in bounds.items() if not _is_bound(bound)]
        for name in wrong:
            yield f"{name} must be a datetime between 1970 and 2999, or None for no bound"
        if not wrong:
            start, end = self.instant(self.start), self.instant(self.end)
            if start and end and end <= start:
                yield "end must be after start"

    def _wrong_policies(self) -> Iterator[str]:
        if self.catch_up not in ("all", "last", "none"):
            yield f"catch_up must be 'all', 'last' or 'none', not {self.catch_up!r}"
        if self.overlap not in ("allow", "skip"):
            yield f"overlap must be 'allow' or 'skip', not {self.overlap!r}"
        if not _is_integer(self.catch_up_limit) or self.catch_up_limit < 1:
            yield f"catch_up_limit must be a positive integer, not {self.catch_up_limit!r}"
        if not is_version(self.version):
            yield f"version must be an integer of at most {MAX_VERSION}, not {self.version!r}"

    def _wrong_durations(self) -> Iterator[str]:
        if not isinstance(self.jitter, timedelta) or not timedelta(0) <= self.jitter <= MAX_JITTER:
            yield f"jitter must be a timedelta between 0 and one day, not {self.jitter!r}"
        positive = {"catch_up_max_age": self.catch_up_max_age}
        if self.ttl is not None:
            positive["ttl"] = self.ttl
        for name, value in positive.items():
            if not isinstance(value, timedelta) or not timedelta(0) < value <= MAX_AGE:
                yield f"{name} must be a positive timedelta of at most ten years, not {value!r}"

    def _wrong_headers(self) -> Iterator[str]:
        yield from _refusal(lambda: payload.dumps_headers(self.headers))
        if isinstance(self.headers, Mapping) and (reserved := RESERVED_HEADERS & set(self.headers)):
            yield f"headers {sorted(reserved)} are written by this package"
        if self.group is not None and not isinstance(self.group, str):
            yield f"group must be a string, not {type(self.group).__name__}"
        yield from _refusal(lambda: payload.dumps(self.group, what="group"))


def _refusal(check: Callable[[], object]) -> list[str]:
    try:
        check()
    except InvalidInput as exc:
        return [str(exc)]
    return []


def _is_bound(value: object) -> bool:
    return value is None or (isinstance(value, datetime) and 1970 <= value.year <= 2999)


def is_version(value: object) -> bool:
    """Whether the value can be a version."""
    return _is_integer(value) and -MAX_VERSION <= value <= MAX_VERSION  # type: ignore[operator]


def _is_integer(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def unreadable(exc: Exception) -> str:
    """Why a stored job cannot be read, for people."""
    return f"{type(exc).__name__}: {exc}"


def stored_job(name: str, definition: Mapping[str, Any], declared: PeriodicJob) -> PeriodicJob | None:
    """A job as it was stored, to finish its work; None if this code cannot read what other code stored.

    Policies that were not stored, before migration 3, are taken from the job that replaces it.
    """
    policies = {
        "catch_up": declared.catch_up,
        "catch_up_limit": declared.catch_up_limit,
        "catch_up_max_age": _seconds(declared.catch_up_max_age),
    }
    try:
        job = PeriodicJob.from_definition(name, {**policies, **definition})
        return None if job.problems(max_bytes=None) else job
    except UNREADABLE:
        return None


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


@dataclass(frozen=True)
class Stored:
    """A job as the database knows it."""

    name: str
    version: int
    fingerprint: str
    queue_name: str
    watermark: datetime
    next_slot: datetime | None
    paused: bool


@dataclass(frozen=True)
class Deploy:
    """What a set of declared jobs changes in the stored ones."""

    added: tuple[PeriodicJob, ...] = ()
    changed: tuple[PeriodicJob, ...] = ()
    removed: tuple[str, ...] = ()
    #: Jobs whose stored definition is newer than ours, or that only newer code knows: not changed.
    outdated: frozenset[str] = frozenset()

    def without(self, names: Set[str]) -> Deploy:
        """The same, except that these jobs stay as they are."""
        return replace(
            self,
            added=tuple(job for job in self.added if job.name not in names),
            changed=tuple(job for job in self.changed if job.name not in names),
            removed=tuple(name for name in self.removed if name not in names),
        )


def deploy(
    declared: Mapping[str, PeriodicJob],
    stored: Mapping[str, Stored],
    *,
    version: int,
    stored_version: int,
    rollback: bool = False,
) -> Deploy:
    """Compare the code's jobs with the database's: only a rollback lets a lower version replace a higher."""
    same = {n for n, job in declared.items() if n in stored and stored[n].fingerprint == job.fingerprint}
    if version < stored_version and not rollback:
        return Deploy(outdated=frozenset((declared.keys() | stored.keys()) - same))
    older = {n for n, job in declared.items() if n in stored and job.version < stored[n].version}
    if rollback:
        older = set()
    return Deploy(
        added=tuple(job for n, job in declared.items() if n not in stored),
        changed=tuple(job for n, job in declared.items() if n in stored and n not in same | older),
        removed=tuple(n for n in stored if n not in declared),
        outdated=frozenset(older - same),
    )


def set_fingerprint(jobs: Iterable[PeriodicJob]) -> str:
    """One value for all jobs, so that a tick that changes nothing compares one string."""
    # Not JSON, which takes three times as long: an idle tick does little else. If another Python writes it in
    # another way, a tick compares job by job. Version 2 has no references, so only values count.
    values: Any = [(job.name, job.definition_values) for job in jobs]
    try:
        written = marshal.dumps(values, 2)
    except ValueError:
        # A subclass, such as an enum of texts.
        written = payload.dumps(values, what="jobs", max_bytes=None).encode()
    return hashlib.sha256(written).hexdigest()[:32]


def _seconds(value: timedelta | None) -> float | None:
    return value.total_seconds() if value is not None else None
