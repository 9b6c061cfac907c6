"""Jobs of pg_cron become jobs with the same times and SQL, or are refused."""

from __future__ import annotations

from datetime import date, datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_pgmq.core.importing import pg_cron
from airflow_pgmq.core.importing.imported import Imported
from airflow_pgmq.core.jobs import PeriodicJob
from airflow_pgmq.jobs import Every
from tests.unit.crons import runs


def row(**fields: Any) -> dict[str, Any]:
    plain = {"jobid": 7, "schedule": "0 3 * * *", "command": "VACUUM", "database": "shop", "username": "al"}
    return {**plain, "active": True, "jobname": "nightly", **fields}


def read(*rows: dict[str, Any], **more: Any) -> Imported:
    return pg_cron.read(rows, queue_name="q", **more)


def one(**fields: Any) -> PeriodicJob:
    found = read(row(**fields))
    assert found.refused == ()
    (job,) = found.jobs
    assert job.problems() == []
    return job


def test_a_job() -> None:
    message = {"sql": "VACUUM", "database": "shop", "username": "al"}
    expected = PeriodicJob(name="nightly", cron="0 3 * * *", queue_name="q", message=message)
    assert one() == expected
    (other,) = read(row(), timezone="Asia/Tokyo").jobs
    assert other.timezone == "Asia/Tokyo"


def test_a_job_without_a_name_has_its_number() -> None:
    assert one(jobname=None).name == "job-7"


@pytest.mark.parametrize(
    ("schedule", "cron", "day_match"),
    [
        ("@hourly", "@hourly", None),
        (" 5  4 * * sun ", "5 4 * * sun", None),
        ("0 12 $ * *", "0 12 L * *", None),
        ("0 12 $ * 1", "0 12 L * 1", None),
        ("0 12 $ * */2", "0 12 L * */2", "both"),
    ],
)
def test_crons(schedule: str, cron: str, day_match: str | None) -> None:
    job = one(schedule=schedule)
    assert (job.cron, job.day_match) == (cron, day_match)


def test_the_last_day_of_each_month() -> None:
    slots = one(schedule="0 12 $ * *").slots.after(datetime(2028, 1, 1, tzinfo=timezone.utc))
    assert [next(slots).date() for _ in range(3)] == [date(2028, 1, 31), date(2028, 2, 29), date(2028, 3, 31)]


@pytest.mark.parametrize(("schedule", "seconds"), [("30 seconds", 30), ("1 second", 1), (" 59  SECONDS", 59)])
def test_seconds(schedule: str, seconds: int) -> None:
    found = read(row(schedule=schedule))
    assert [job.schedule for job in found.jobs] == [Every(timedelta(seconds=seconds))]
    (note,) = found.notes
    assert note.startswith("nightly: its slots are counted from midnight")


@pytest.mark.parametrize(
    ("fields", "why"),
    [
        ({"active": False}, "not active in pg_cron"),
        ({"schedule": "60 seconds"}, "1 to 59 seconds"),
        ({"schedule": "0 seconds"}, "1 to 59 seconds"),
        ({"schedule": "5 minutes"}, "neither five fields"),
        ({"schedule": "@reboot"}, "is no time"),
        ({"schedule": "0 12 L * *"}, "'l' cannot be read"),
        ({"schedule": "0 12 1,$ * *"}, "'$' cannot be read"),
        ({"schedule": "61 12 1 * *"}, "'61' is no minute"),
        ({"command": ""}, "a schedule and a command"),
        ({"schedule": None}, "a schedule and a command"),
    ],
)
def test_what_is_refused(fields: dict[str, Any], why: str) -> None:
    found = read(row(**fields))
    assert found.jobs == ()
    (refused,) = found.refused
    assert refused.source == "nightly"
    assert why in refused.why


VALUES = st.one_of(st.none(), st.booleans(), st.integers(), st.text(max_size=20))
SCHEDULES = st.one_of(VALUES, st.text("*/,-$ 0123456789second@", max_size=15), st.just("* * * * *"))
ROWS = st.fixed_dictionaries(
    {},
    optional={
        "jobid": VALUES,
        "schedule": SCHEDULES,
        "command": VALUES,
        "database": VALUES,
        "active": VALUES,
        "jobname": VALUES,
    },
)


@given(rows=st.lists(ROWS, max_size=4))
@runs(200)
def test_each_row_is_a_job_or_refused(rows: list[dict[str, Any]]) -> None:
    found = read(*rows)
    assert len(found.jobs) + len(found.refused) == len(rows)
    assert [job.problems() for job in found.jobs] == [[]] * len(found.jobs)
    assert len({job.name for job in found.jobs}) == len(found.jobs)
