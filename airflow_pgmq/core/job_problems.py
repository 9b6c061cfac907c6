"""What is wrong with a periodic job, each as a sentence."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING, get_args

from airflow_pgmq.core import names, payload
from airflow_pgmq.core.schedule import excluding
from airflow_pgmq.core.schedule.cron import ORDERS, DayMatch, problem
from airflow_pgmq.core.schedule.definitions import Rule
from airflow_pgmq.core.schedule.zones import time_zone
from airflow_pgmq.errors import InvalidInput

if TYPE_CHECKING:
    from airflow_pgmq.core.jobs import PeriodicJob

MAX_JITTER = timedelta(days=1)
MAX_AGE = timedelta(days=3660)
#: What its column in the database can hold.
MAX_VERSION = 2**31 - 1
#: Headers that this package writes.
RESERVED_HEADERS = frozenset(
    {"dedup_key", "job", "namespace", "slot", "version", "expires_at", "source"}
    | {"untried", "released_read"}
)


#: Where it is looked whether a job has any slot, if it has no start.
_FIRST = datetime(2020, 1, 1, tzinfo=timezone.utc)


def of(job: PeriodicJob, max_bytes: int | None) -> list[str]:
    """Everything that is wrong."""
    found = _each(job, max_bytes)
    return found or _no_slots(job)


def _no_slots(job: PeriodicJob) -> list[str]:
    """That exclusions leave no slot at all of a schedule without an end.

    What calendars in the database leave out is not known here.
    """
    if not job.exclude or any(isinstance(each, excluding.Calendar) for each in job.exclude):
        return []
    start = job.instant(job.start) or _FIRST
    everything = replace(job, exclude=(), business_day=None)
    has_an_end = not any(everything.slots.after(start + MAX_AGE))
    if has_an_end or any(job.slots.after(start)):
        return []
    return ["exclude leaves no slot of its schedule: change one of them"]


def _each(job: PeriodicJob, max_bytes: int | None) -> list[str]:
    return [
        *_refusal(lambda: names.job(job.name)),
        *_refusal(lambda: names.queue(job.queue_name)),
        *of_schedule(job),
        *of_policies(job),
        *(wrong := list(_wrong_durations(job))),
        *([] if wrong else _wrong_expectation(job)),
        *_refusal(lambda: payload.check_size(job.message_json, max_bytes)),
        *_wrong_headers(job),
        *_wrong_params(job),
    ]


def of_schedule(job: PeriodicJob) -> Iterator[str]:
    """What is wrong with when it sends."""
    yield from _wrong_times(job)
    yield from excluding.problems(job.exclude, job.business_day)
    if not isinstance(job.timezone, str):
        yield f"timezone must be a string, not {type(job.timezone).__name__}"
        return
    try:
        time_zone(job.timezone)
    except ValueError as exc:
        yield str(exc)
    else:
        yield from _wrong_bounds(job)


def _wrong_bounds(job: PeriodicJob) -> Iterator[str]:
    bounds = {"start": job.start, "end": job.end}
    wrong = [name for name, bound in bounds.items() if not _is_bound(bound)]
    for name in wrong:
        yield f"{name} must be a datetime between 1970 and 2999, or None for no bound"
    if not wrong:
        start, end = job.instant(job.start), job.instant(job.end)
        if start and end and end <= start:
            yield "end must be after start"


def of_policies(job: PeriodicJob) -> Iterator[str]:
    """What is wrong with what it does about missed and waiting slots."""
    if job.catch_up not in ("all", "last", "none"):
        yield f"catch_up must be 'all', 'last' or 'none', not {job.catch_up!r}"
    if job.overlap not in ("allow", "skip", "queue_one"):
        yield f"overlap must be 'allow', 'skip' or 'queue_one', not {job.overlap!r}"
    if not _is_integer(job.catch_up_limit) or job.catch_up_limit < 1:
        yield f"catch_up_limit must be a positive integer, not {job.catch_up_limit!r}"
    if not isinstance(job.pause_on_dead_letter, bool):
        yield f"pause_on_dead_letter must be True or False, not {job.pause_on_dead_letter!r}"
    if not is_version(job.version):
        yield f"version must be an integer of at most {MAX_VERSION}, not {job.version!r}"


def _wrong_durations(job: PeriodicJob) -> Iterator[str]:
    if not isinstance(job.jitter, timedelta) or not timedelta(0) <= job.jitter <= MAX_JITTER:
        yield f"jitter must be a timedelta between 0 and one day, not {job.jitter!r}"
    positive = {"catch_up_max_age": job.catch_up_max_age}
    optional = {"ttl": job.ttl, "expect_within": job.expect_within}
    positive |= {name: value for name, value in optional.items() if value is not None}
    for name, value in positive.items():
        if not isinstance(value, timedelta) or not timedelta(0) < value <= MAX_AGE:
            yield f"{name} must be a positive timedelta of at most ten years, not {value!r}"


def _wrong_expectation(job: PeriodicJob) -> Iterator[str]:
    if job.expect_within is None:
        return
    if job.expect_within <= job.jitter:
        yield "expect_within must be longer than jitter: the message may not be visible before"
    if job.ttl is not None and job.expect_within > job.ttl:
        yield "expect_within must not be longer than ttl, after which nobody works on the message"


def _wrong_params(job: PeriodicJob) -> Iterator[str]:
    if job.params is not None and not isinstance(job.params, Mapping):
        yield f"params must be a mapping, not {type(job.params).__name__}"
        return
    yield from _refusal(lambda: payload.check_size(job.params_json, payload.DEFAULT_MAX_BYTES))


def _wrong_headers(job: PeriodicJob) -> Iterator[str]:
    yield from _refusal(lambda: payload.dumps_headers(job.headers))
    if isinstance(job.headers, Mapping) and (reserved := RESERVED_HEADERS & set(job.headers)):
        yield f"headers {sorted(reserved)} are written by this package"
    if job.group is not None and not isinstance(job.group, str):
        yield f"group must be a string, not {type(job.group).__name__}"
    yield from _refusal(lambda: payload.dumps(job.group, what="group"))


def _wrong_times(job: PeriodicJob) -> Iterator[str]:
    if job.schedule is not None:
        if job.cron is not None:
            yield "give either cron or schedule, not both"
        elif not isinstance(job.schedule, get_args(Rule)):
            yield f"schedule must be a cron expression, Cron, Every, At or RRule, not {job.schedule!r}"
        elif job.seconds is not None or job.day_match is not None:
            yield "seconds and day_match belong to a cron"
        else:
            yield from job.schedule.problems()
    elif job.cron is None:
        yield "it needs a schedule, such as schedule='0 6 * * 1-5'"
    elif not isinstance(job.cron, str):
        yield f"cron must be a string, not {type(job.cron).__name__}"
    elif job.seconds not in (None, *ORDERS):
        yield f"seconds must be 'first', 'last' or None, not {job.seconds!r}"
    elif job.day_match not in (None, *get_args(DayMatch)):
        yield f"day_match must be 'either', 'both' or None, not {job.day_match!r}"
    elif wrong := problem(job.cron, str(job.name), job.seconds, job.day_match):
        yield wrong


def _refusal(check: Callable[[], object]) -> list[str]:
    try:
        check()
    except InvalidInput as exc:
        return [exc.text]
    return []


def _is_bound(value: object) -> bool:
    return value is None or (isinstance(value, datetime) and 1970 <= value.year <= 2999)


def is_version(value: object) -> bool:
    """Whether the value can be a version."""
    return _is_integer(value) and -MAX_VERSION <= value <= MAX_VERSION  # type: ignore[operator]


def _is_integer(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)
