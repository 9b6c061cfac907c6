"""The fields of a job as documents have them: each with its kind."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import MISSING
from dataclasses import fields as fields_of
from typing import Any, get_args

from airflow_pgmq.core import payload
from airflow_pgmq.core.job_documents.kinds import (
    BOOLEAN,
    DURATION,
    INSTANT,
    INTEGER,
    JSON,
    OBJECT,
    TEXT,
    Kind,
    choice,
)
from airflow_pgmq.core.job_documents.places import Place, Wrong
from airflow_pgmq.core.job_documents.schedules import DAY_MATCH, EXCLUDE, SCHEDULE, SECONDS
from airflow_pgmq.core.jobs import CatchUp, Overlap, PeriodicJob
from airflow_pgmq.core.schedule.definitions import Cron
from airflow_pgmq.core.schedule.excluding import BusinessDay
from airflow_pgmq.errors import InvalidMessage

#: In the order in which they are written. jobs.schema.json describes the same fields for editors.
FIELDS: Mapping[str, Kind] = {
    "name": TEXT,
    "schedule": SCHEDULE,
    "cron": TEXT,
    "seconds": SECONDS,
    "day_match": DAY_MATCH,
    "timezone": TEXT,
    "exclude": EXCLUDE,
    "business_day": choice(*get_args(BusinessDay)),
    "start": INSTANT,
    "end": INSTANT,
    "jitter": DURATION,
    "queue_name": TEXT,
    "group": TEXT,
    "message": JSON,
    "headers": OBJECT,
    "params": OBJECT,
    "ttl": DURATION,
    "expect_within": DURATION,
    "pause_on_dead_letter": BOOLEAN,
    "catch_up": choice(*get_args(CatchUp)),
    "catch_up_max_age": DURATION,
    "catch_up_limit": INTEGER,
    "overlap": choice(*get_args(Overlap)),
    "version": INTEGER,
}
#: Without these there is no job.
REQUIRED = ("name", "queue_name")
#: Of the job, but written as parts of its schedule.
_OF_A_CRON = ("cron", "seconds", "day_match")

_DEFAULTS = {
    each.name: each.default if each.default_factory is MISSING else each.default_factory()
    for each in fields_of(PeriodicJob)
}
#: Fields that may be null: there is nothing then.
_NULLABLE = {name for name, default in _DEFAULTS.items() if default is None}


def read(name: str, value: Any, place: Place) -> Any:
    """The value of a field; raises Wrong."""
    return None if value is None and name in _NULLABLE else FIELDS[name].read(value, place)


def given(job: PeriodicJob) -> dict[str, Any]:
    """What a job has that is not by default so, in the order of `FIELDS`; messages in JSON types.

    :raises InvalidMessage: a message, headers or params are not JSON, or nested too deeply for a document
    """
    values = {name: getattr(job, name) for name in FIELDS if name not in _OF_A_CRON}
    if job.cron is not None:
        is_plain = job.seconds is None and job.day_match is None
        values["schedule"] = job.cron if is_plain else Cron(job.cron, job.seconds, job.day_match)
    values["message"] = _json("message", job.message)
    for name in ("headers", "params"):
        values[name] = _json(name, dict(values[name])) if values[name] else None
    return {name: value for name, value in values.items() if not _is_default(name, value)}


def _json(what: str, value: Any) -> Any:
    try:
        return JSON.read(payload.plain(value, what=what), Place(what))
    except Wrong as exc:
        raise InvalidMessage(f"The job cannot be written as a document: {exc.texts[0]}.") from None


def _is_default(name: str, value: Any) -> bool:
    if name == "exclude":
        return not value
    return bool(type(value) is type(_DEFAULTS[name]) and value == _DEFAULTS[name])
