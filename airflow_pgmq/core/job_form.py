"""Live jobs as people edit them in a form: what is wrong, field by field, and what was hidden put back."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from typing import Any

from airflow_pgmq.core import job_documents, redaction
from airflow_pgmq.core.job_documents.fields import FIELDS
from airflow_pgmq.core.jobs import PeriodicJob
from airflow_pgmq.errors import InvalidJobs

#: Fields in which people write what they want, so that values may be hidden there.
CONTENT = ("message", "headers", "params")
#: Those that say when a job sends.
_OF_A_SCHEDULE = (
    *("schedule", "cron", "seconds", "day_match", "timezone"),
    *("exclude", "business_day", "start", "end"),
)
#: How sentences about a field begin that do not begin with its name.
_BEGINNINGS = {
    "Job name": "name",
    "Queue": "queue_name",
    "unknown time zone": "timezone",
    "it needs a schedule": "schedule",
    "give either cron": "schedule",
    "Blackout": "exclude",
    "Calendar": "exclude",
    "Holidays": "exclude",
    "There is no calendar": "exclude",
    "Template": "message",
    "The template": "message",
    "The message": "message",
    "Message": "message",
}
_WORD = re.compile(r"\w+")


def field_of(problem: str) -> str | None:
    """The field that a sentence about a job is about; None: the job as a whole, or nobody knows."""
    for beginning, name in _BEGINNINGS.items():
        if problem.startswith(beginning):
            return name
    found = _WORD.match(problem)
    word = found[0].lower() if found else ""
    return "schedule" if word == "cron" else word if word in FIELDS else None


def problems(exc: InvalidJobs) -> list[dict[str, str | None]]:
    """What is wrong with the one job, each with its field."""
    texts = dict.fromkeys(text for each in exc.problems.values() for text in each)
    return [{"field": field_of(text), "text": text} for text in texts]


def schedule_of(definition: Mapping[str, Any]) -> PeriodicJob:
    """A job with only the times of one that is perhaps not finished.

    :raises InvalidJobs: they cannot be read
    """
    own = {name: definition[name] for name in _OF_A_SCHEDULE if name in definition}
    # Crons may be hashed from the name.
    name = definition.get("name")
    return job_documents.from_mapping(
        {"name": name if _is_name(name) else "preview", "queue_name": "preview", **own}
    )


def _is_name(name: object) -> bool:
    return isinstance(name, str) and re.fullmatch(r"[A-Za-z0-9][\w.-]{0,99}", name, re.ASCII) is not None


def job(
    definition: Mapping[str, Any], name: str, stored: Mapping[str, Any] | None, keys: Collection[str]
) -> PeriodicJob:
    """The job of a form, with the hidden values that are stored.

    :param stored: the job as it is, in JSON types; None: there is none
    :param keys: JSON keys whose values were hidden
    :raises InvalidJobs: with everything that is wrong
    :raises InvalidArgument: a hidden value cannot be put back
    """
    # Their version counts up by itself.
    given = {each: value for each, value in {**definition, "name": name}.items() if each != "version"}
    # Before anything else looks into it: it may be nested too deeply.
    found = job_documents.as_mapping(job_documents.from_mapping(given))
    known = stored or {}
    for each in CONTENT:
        if each in found:
            found[each] = redaction.unhide(found[each], known.get(each), keys)
    return job_documents.from_mapping(found)


def hidden(document: Mapping[str, Any], keys: Collection[str]) -> dict[str, Any]:
    """A job in JSON types without the values of these keys."""
    return {
        name: redaction.redact(value, keys)[0] if name in CONTENT else value
        for name, value in document.items()
    }
