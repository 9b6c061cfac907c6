"""A job that somebody is writing: what is wrong with it so far, and when it would send."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

from airflow_pgmq.core import job_documents, job_form, slots
from airflow_pgmq.core.jobs import PeriodicJob
from airflow_pgmq.db.client import Client, Connection
from airflow_pgmq.db.statements import Flow, periodic, queues
from airflow_pgmq.errors import CalendarNotFound, InvalidJobs, NotFound, QueueNotFound
from airflow_pgmq.services import calendars
from airflow_pgmq.services.overview import words

UPCOMING = 5


def preview(
    client: Client,
    definition: Mapping[str, Any],
    *,
    check: Callable[[PeriodicJob], None],
    conn: Connection | None = None,
) -> dict[str, Any]:
    """Problems by field, the next slots and the schedule in words; nothing is written.

    :param definition: the job, perhaps not finished
    :param check: what else is to be checked of a job; raises InvalidJobs
    """
    wrong: list[dict[str, str | None]] = []
    with client.connection(conn) as current:
        try:
            job = job_documents.from_mapping(definition)
            check(job)
        except InvalidJobs as exc:
            wrong += job_form.problems(exc)
        if isinstance(queue_name := definition.get("queue_name"), str) and not _about(wrong, "queue_name"):
            wrong += [
                {"field": "queue_name", "text": str(QueueNotFound(each))}
                for each in client.run(lambda: queues.missing({queue_name}), current)
            ]
        when: dict[str, Any] = {"next_slots": [], "words": None, "timezone": None}
        try:
            own = job_form.schedule_of(definition)
            coming = client.run(lambda: _coming(own), current)
            when = {"next_slots": coming, "words": _words(own), "timezone": own.timezone}
        except CalendarNotFound as exc:
            wrong += _of(exc)
        except InvalidJobs:
            pass
    return {"problems": wrong, **when}


def _coming(job: PeriodicJob) -> Flow[list[datetime]]:
    days = yield from calendars.needed([job])
    now = yield periodic.clock()
    return slots.upcoming(job.on(days), now, UPCOMING)


def _about(wrong: list[dict[str, str | None]], field: str) -> bool:
    return any(each["field"] == field for each in wrong)


def _of(exc: NotFound) -> list[dict[str, str | None]]:
    return [{"field": job_form.field_of(exc.text), "text": exc.text}]


def _words(job: PeriodicJob) -> str:
    return str(job.schedule) if job.cron is None else words.of_cron(job.cron, job.seconds or "last")
