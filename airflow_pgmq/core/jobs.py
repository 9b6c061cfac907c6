"""Periodic jobs: what a user declares, what is wrong with it, and what a deploy changes."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import cached_property
from typing import Any, Literal

from airflow_pgmq.core import names, payload, schedule
from airflow_pgmq.errors import InvalidJobs, InvalidMessage, InvalidName

MAX_JITTER = timedelta(days=1)
#: Headers that we write ourselves.
RESERVED_HEADERS = frozenset({"dedup_key", "job", "namespace", "slot", "version", "expires_at", "source"})
UTC = schedule.UTC


@dataclass(frozen=True, kw_only=True)
class PeriodicJob:
    """A message to be enqueued at every slot of a cron expression.

    Creating one never raises: `PgmqPeriodicOperator` reports the problems of all its jobs together.

    :param name: unique within the namespace; part of the dedup key, so renaming makes a new job
    :param cron: 5 fields, or 6 with the seconds last (croniter's order); `@daily` and the like; `H` is
        hashed from the name, `L` is the last day
    :param queue_name: an existing queue
    :param message: any JSON value; the slot travels in the headers
    :param timezone: the zone in which `cron` is meant
    :param headers: more headers; ours win, see `RESERVED_HEADERS`
    :param version: raise it when overlapping deploys must not undo each other
    :param ttl: after slot + ttl our consumers skip the message (header `expires_at`)
    :param catch_up: what to do with slots missed while Airflow was down: `all`, `last` or `none`
    :param catch_up_max_age: `all` and `last` look back no further
    :param catch_up_limit: `all` sends at most so many missed slots, the newest
    :param overlap: `skip` sends a slot only if the job's previous message has left the queue; then
        there is no look-ahead
    :param jitter: spread each slot by up to this much, the same in every process
    :param start: no slot before this instant; naive means in `timezone`
    :param end: no slot at or after this instant; naive means in `timezone`
    :param group: FIFO group (header `x-pgmq-group`)
    """

    name: str
    cron: str
    queue_name: str
    message: Any = field(default_factory=dict)
    timezone: str = "UTC"
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

    @cached_property
    def message_json(self) -> str:
        """The payload as it is stored; raises InvalidMessage."""
        return payload.dumps(self.message, max_bytes=None)

    @cached_property
    def fingerprint(self) -> str:
        """Changes when the messages or slots that the job produces change, and only then."""
        return hashlib.sha256(self.definition_json.encode()).hexdigest()[:32]

    @cached_property
    def definition_json(self) -> str:
        """What is stored with the job's state, enough to send it by hand (run now) and to show it."""
        extras = {
            "queue_name": self.queue_name,
            "cron": self.cron,
            "timezone": self.timezone,
            "headers": dict(self.headers or {}),
            "version": self.version,
            "ttl": _seconds(self.ttl),
            "jitter": _seconds(self.jitter),
            "start": self.start.isoformat() if self.start else None,
            "end": self.end.isoformat() if self.end else None,
            "group": self.group,
        }
        return f'{json.dumps(extras)[:-1]}, "message": {self.message_json}}}'

    @cached_property
    def slots(self) -> schedule.Schedule:
        """The job's cron in its zone."""
        return schedule.Schedule(self.cron, self.timezone, self.name)

    def instant(self, bound: datetime | None) -> datetime | None:
        """`start` or `end` as an instant: naive values are wall-clock times of the job's zone."""
        if bound is None or bound.tzinfo is not None:
            return bound
        return bound.replace(tzinfo=schedule.time_zone(self.timezone))

    def problems(self, max_bytes: int | None = payload.DEFAULT_MAX_BYTES) -> list[str]:
        """Everything that is wrong with this job, each as a sentence."""
        checks = (
            self._check_names,
            self._check_times,
            self._check_bounds,
            lambda: self._check_content(max_bytes),
        )
        found = []
        for check in checks:
            try:
                found += check()
            except (InvalidName, InvalidMessage) as exc:
                found.append(str(exc))
            except (TypeError, ValueError, AttributeError) as exc:
                found.append(f"a value has the wrong type: {exc}")
        return found

    def _check_names(self) -> list[str]:
        names.job(self.name)
        names.queue(self.queue_name)
        return []

    def _check_times(self) -> list[str]:
        found = [wrong] if (wrong := schedule.problem(self.cron, self.name)) else []
        try:
            schedule.time_zone(self.timezone)
        except ValueError as exc:
            found.append(str(exc))
        return found

    def _check_bounds(self) -> list[str]:
        found = []
        if self.catch_up not in ("all", "last", "none"):
            found.append(f"catch_up must be 'all', 'last' or 'none', not {self.catch_up!r}")
        if self.overlap not in ("allow", "skip"):
            found.append(f"overlap must be 'allow' or 'skip', not {self.overlap!r}")
        if not timedelta(0) <= self.jitter <= MAX_JITTER:
            found.append("jitter must be between 0 and one day")
        if self.ttl is not None and self.ttl <= timedelta(0):
            found.append("ttl must be positive")
        if self.catch_up_limit < 1 or self.catch_up_max_age <= timedelta(0):
            found.append("catch_up_limit and catch_up_max_age must be positive; use catch_up='none'")
        if not isinstance(self.version, int) or isinstance(self.version, bool):
            found.append(f"version must be an integer, not {self.version!r}")
        start, end = self.instant(self.start), self.instant(self.end)
        if start and end and end <= start:
            found.append("end must be after start")
        return found

    def _check_content(self, max_bytes: int | None) -> list[str]:
        payload.check_size(self.message_json, max_bytes)
        payload.dumps_headers(self.headers)
        if reserved := RESERVED_HEADERS & set(self.headers or ()):
            return [f"headers {sorted(reserved)} are written by this package"]
        return []


def check(jobs: Sequence[PeriodicJob], max_bytes: int | None = payload.DEFAULT_MAX_BYTES) -> None:
    """Raise InvalidJobs with every problem of every job, duplicate names among them."""
    problems: dict[str, list[str]] = {}
    seen: set[str] = set()
    for position, job in enumerate(jobs):
        if not isinstance(job, PeriodicJob):
            problems[f"jobs[{position}]"] = [f"is a {type(job).__name__}, not a PeriodicJob"]
            continue
        found = job.problems(max_bytes)
        if job.name in seen:
            found.append("the name is used by another job of the same namespace")
        seen.add(job.name)
        if found:
            problems.setdefault(str(job.name), []).extend(found)
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
    #: Jobs whose stored definition is newer than ours, or that only newer code knows: left alone.
    outdated: frozenset[str] = frozenset()


def deploy(
    declared: Mapping[str, PeriodicJob], stored: Mapping[str, Stored], *, version: int, stored_version: int
) -> Deploy:
    """Compare the code's jobs with the database's: a lower version never undoes a higher one."""
    same = {n for n, job in declared.items() if n in stored and stored[n].fingerprint == job.fingerprint}
    if version < stored_version:
        return Deploy(outdated=frozenset((declared.keys() | stored.keys()) - same))
    older = {n for n, job in declared.items() if n in stored and job.version < stored[n].version}
    return Deploy(
        added=tuple(job for n, job in declared.items() if n not in stored),
        changed=tuple(job for n, job in declared.items() if n in stored and n not in same | older),
        removed=tuple(n for n in stored if n not in declared),
        outdated=frozenset(older - same),
    )


def set_fingerprint(jobs: Iterable[PeriodicJob]) -> str:
    """One value for all jobs, so that a tick that changes nothing compares one string."""
    digest = hashlib.sha256()
    for job in jobs:
        digest.update(f"{job.name}\x1f{job.fingerprint}\x1e".encode())
    return digest.hexdigest()[:32]


def _seconds(value: timedelta | None) -> float | None:
    return value.total_seconds() if value is not None else None
