"""The page's API of one job: what it shows and to whom, and what leaves out a slot."""

from __future__ import annotations

from datetime import timedelta

import pytest

from airflow_pgmq.core import slots
from airflow_pgmq.hooks import PgmqHook
from tests.airflow.test_ui_api import audit_log  # noqa: F401
from tests.fixtures.factories import execute, job, queued, state, tick
from tests.fixtures.ui import act

PATH = "/pgmq/api/pgmq_default/jobs/shop/job"


@pytest.fixture
def hook(pgmq_connection):
    hook = PgmqHook(pgmq_connection)
    hook.create_queue("mail")
    tick(job(message={"password": "hunter2", "a": 1}, headers={"note": "n"})).run(hook.client)
    return hook


def test_a_job_is_shown_without_what_is_redacted(boss, hook):
    found = boss.get(PATH).json()

    assert found["definition"]["message"] == {"password": "***", "a": 1}
    assert found["job"]["dag_id"] == "dag"
    assert len(found["calendar"]["days"]) == 35
    assert found["missing"] == []


def test_who_may_only_look_sees_no_content(guest, hook):
    found = guest.get(PATH).json()

    assert found["definition"].keys() == {"name", "schedule", "queue_name", "catch_up_max_age"}
    assert found["calendar"]["days"][1]["slots"] == 24


def test_reasons_of_calendars_are_for_who_may_read_the_connection(boss, guest, hook, database):
    from airflow_pgmq.jobs import Calendar

    day = (state(database)["now"] + timedelta(days=3)).date()
    hook.put_calendar("off", {day: "a secret feast"})
    hook.put_job("shop", job("feast", exclude=[Calendar("off")]))
    path = PATH.replace("/job", "/feast").replace("/feasts", "/jobs")
    mine, theirs = (client.get(path) for client in (boss, guest))

    assert mine.json()["calendar"]["days"][3]["left_out"] == {"a secret feast": 24}
    assert theirs.json()["calendar"]["days"][3]["left_out"] == {"left out": 24}
    assert "feast" not in theirs.text.replace("/feast", "").replace('"feast"', "")


def test_what_cannot_be_looked_at_is_told_to_who_may_know(boss, guest, hook, database):
    execute(database, "UPDATE airflow_pgmq.slots SET slot = slot - interval '1 day'")
    hook.drop_queue("mail")
    mine, theirs = (client.get(PATH).json()["missing"] for client in (boss, guest))

    assert mine == [{"part": "history", "text": "Queue mail does not exist any more."}]
    assert theirs == [{"part": "history"}]


def test_a_job_that_is_not_there(boss, hook):
    answer = boss.get(PATH.replace("shop/job", "shop/none"))
    assert answer.status_code == 404
    assert "No periodic job 'none'" in answer.json()["detail"]


def test_a_slot_is_skipped(boss, hook, database, audit_log):  # noqa: F811
    first = state(database)["now"].replace(minute=0, second=0, microsecond=0) + timedelta(hours=1)
    before = len(queued(database))
    answer = act(boss, "pgmq_default/jobs/shop/job/skip", {"slot": slots.text(first)})
    found = boss.get(PATH).json()

    assert answer.json()["name"] == "job"
    assert len(queued(database)) == before - 1
    assert slots.text(first) not in found["job"]["next_slots"]
    assert sum(day["left_out"].get("skipped by hand", 0) for day in found["calendar"]["days"]) == 1
    details = {"connection": "pgmq_default", "job": "shop/job", "slot": slots.text(first)}
    assert audit_log() == [("pgmq_skip_slot", "boss", details)]


@pytest.mark.parametrize(
    ("slot", "says"),
    [
        ("2026-06-01T06:00:00", "with a time zone"),
        ("0001-01-01T00:00:00+23:00", "with a time zone"),
        ("9999-12-31T23:59:59-23:00", "with a time zone"),
        ("now\x00", "with a time zone"),
        ("2026-06-01T06:30:00Z", "is not a slot of job shop/job; the next ones are"),
    ],
)
def test_what_is_no_slot_is_not_skipped(boss, hook, audit_log, slot, says):  # noqa: F811
    answer = act(boss, "pgmq_default/jobs/shop/job/skip", {"slot": slot})

    assert (answer.status_code, says in answer.json()["detail"]) == (422, True)
    assert audit_log() == []


def test_a_list_says_how_many_slots_are_overdue(boss, hook, database):
    hook.put_job("shop", job("late", expect_within=timedelta(minutes=1)))
    execute(
        database,
        "UPDATE airflow_pgmq.periodic_jobs SET next_slot = now() - interval '3 hours',"
        " watermark = now() - interval '4 hours', expected_until = 'epoch' WHERE name = 'late'",
    )
    found = {each["name"]: each["overdue"] for each in boss.get("/pgmq/api/pgmq_default/jobs").json()["jobs"]}

    assert found == {"job": None, "late": 1}
