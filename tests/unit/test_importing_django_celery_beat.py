"""Rows of django-celery-beat become jobs with the same times and arguments, or are refused."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_pgmq.core.importing import django_celery_beat
from airflow_pgmq.core.importing.imported import Imported
from airflow_pgmq.core.jobs import PeriodicJob
from airflow_pgmq.jobs import At, Every
from tests.unit.crons import runs

NOON = datetime(2026, 7, 1, 12, tzinfo=timezone.utc)
CRONTAB = {
    "minute": "0",
    "hour": "*/2",
    "day_of_month": "*",
    "month_of_year": "*",
    "day_of_week": "monday",
    "timezone": "Europe/Berlin",
}


def row(**fields: Any) -> dict[str, Any]:
    return {"name": "a", "task": "t", "args": "[1]", "kwargs": '{"x": null}', "enabled": True, **fields}


def read(*rows: dict[str, Any]) -> Imported:
    return django_celery_beat.read(rows, queue_name="q")


@pytest.mark.parametrize(
    ("given", "fields"),
    [
        (CRONTAB, {"cron": "0 */2 * * mon", "timezone": "Europe/Berlin"}),
        ({**CRONTAB, "day_of_month": "1", "timezone": None}, {"cron": "0 */2 1 * mon", "day_match": "both"}),
        ({"every": 5, "period": "minutes"}, {"schedule": Every(timedelta(minutes=5))}),
        ({"clocked_time": NOON}, {"schedule": At(NOON)}),
        ({**CRONTAB, "expire_seconds": 60, "start_time": NOON}, {"ttl": timedelta(minutes=1), "start": NOON}),
    ],
)
def test_rows(given: dict[str, Any], fields: dict[str, Any]) -> None:
    found = read(row(**given))
    assert found.refused == ()
    (job,) = found.jobs
    assert job.message == {"task": "t", "args": [1], "kwargs": {"x": None}}
    assert {name: getattr(job, name) for name in fields} == fields
    assert isinstance(job, PeriodicJob)


@pytest.mark.parametrize(
    ("fields", "why"),
    [
        ({**CRONTAB, "enabled": False}, "not enabled"),
        ({}, "no interval, crontab or time"),
        ({"every": 5, "period": "microseconds"}, "is not read"),
        ({"every": 10**12, "period": "days"}, "longer than ten years"),
        ({**CRONTAB, "args": "{}"}, "args is no list"),
        ({**CRONTAB, "kwargs": "{"}, "kwargs is no dict"),
        ({**CRONTAB, "minute": "61"}, "is no minute"),
        ({**CRONTAB, "task": ""}, "needs a task"),
        ({**CRONTAB, "task": "celery.backend_cleanup"}, "Celery's own"),
    ],
)
def test_what_is_refused(fields: dict[str, Any], why: str) -> None:
    found = read(row(**fields))
    assert found.jobs == ()
    assert why in found.refused[0].why


def test_what_is_left_out_is_noted() -> None:
    notes = read(row(every=1, period="days", queue="low", one_off=True, priority=None)).notes
    assert [note.split(" ")[1] for note in notes] == ["its", "queue", "one_off"]


VALUES = st.none() | st.booleans() | st.integers() | st.text(max_size=10)


@given(
    rows=st.lists(st.dictionaries(st.sampled_from([*row(), *CRONTAB, "every", "period"]), VALUES), max_size=3)
)
@runs(200)
def test_each_row_is_a_job_or_refused(rows: list[dict[str, Any]]) -> None:
    found = read(*rows, row(**CRONTAB))
    assert len(found.jobs) + len(found.refused) == len(rows) + 1
    assert [job.problems() for job in found.jobs] == [[]] * len(found.jobs)
