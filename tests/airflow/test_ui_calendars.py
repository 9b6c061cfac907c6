"""The page's API of calendars: what is seen, changed, and noted in the audit log."""

from __future__ import annotations

from datetime import date, timedelta

import pytest

from airflow_pgmq.core.calendars import MOST_DAYS
from airflow_pgmq.hooks import PgmqHook
from airflow_pgmq.jobs import Calendar
from tests.airflow.test_ui_api import audit_log  # noqa: F401
from tests.fixtures.factories import execute, job, tick
from tests.fixtures.ui import act

CALENDARS = "/pgmq/api/pgmq_default/calendars"


@pytest.fixture
def hook(pgmq_connection):
    hook = PgmqHook(pgmq_connection)
    hook.create_queue("mail")
    return hook


def put(client, text, expected_version=0, name="off"):
    body = {"text": text, "expected_version": expected_version}
    return act(client, f"pgmq_default/calendars/{name}/put", body)


def version(client, name="off"):
    return client.get(f"{CALENDARS}/{name}").json()["version"]


def test_a_calendar_is_made_changed_and_deleted(boss, hook, audit_log):  # noqa: F811
    made = put(boss, "# Ours\n2026-12-25 Christmas, the first day #1\n2099-01-01\n")
    seen = boss.get(f"{CALENDARS}/off").json()
    changed = put(boss, f"{seen['text']}2026-05-01\n".replace("2099-01-01", "2099-01-01 new"), version(boss))
    deleted = act(boss, "pgmq_default/calendars/off/delete", {"expected_version": version(boss)})

    assert (made.json(), changed.json(), deleted.json()) == (
        {"days": 2, "taken_back": 0},
        {"days": 3, "taken_back": 0},
        {"deleted": True},
    )
    # What it was is not lost: neither commas nor what looks like a comment.
    assert seen["text"] == "2026-12-25 Christmas, the first day #1\n2099-01-01\n"
    assert hook.list_calendars() == []
    first, second, third = audit_log()
    assert first[:2] == ("pgmq_put_calendar", "boss")
    assert first[2] == {
        "connection": "pgmq_default",
        "calendar": "off",
        "days": 2,
        "added": "2026-12-25, 2099-01-01",
        "removed": "",
        "reasons_changed": "",
        "taken_back": 0,
    }
    assert (second[2]["added"], second[2]["reasons_changed"]) == ("2026-05-01", "2099-01-01")
    assert (third[0], third[2]["removed"]) == ("pgmq_delete_calendar", "2026-05-01, 2026-12-25, 2099-01-01")


def test_who_was_second_is_told(boss, hook):
    put(boss, "2026-12-25")
    seen = version(boss)
    hook.put_calendar("off", [date(2026, 12, 26)])
    answers = [
        put(boss, "2026-12-27"),
        put(boss, "2026-12-27", seen),
        act(boss, "pgmq_default/calendars/off/delete", {"expected_version": seen}),
        # Whoever deleted it must be answered, too.
        put(boss, "2026-12-27", seen, name="deleted"),
    ]

    assert [each.status_code for each in answers] == [409] * 4
    assert f"expected_version={version(boss)}" in answers[1].json()["detail"]
    assert "does not exist any more" in answers[3].json()["detail"]
    assert list(hook.get_calendar("off").days) == [date(2026, 12, 26)]


def test_what_waits_is_taken_back(boss, hook, database):
    put(boss, "")
    tick(job(cron="0 * * * *", exclude=[Calendar("off")])).run(hook.client)
    (row,) = execute(database, "SELECT min(visible_at)::date + 1 AS day FROM airflow_pgmq.slots")

    assert put(boss, f"{row['day']}", version(boss)).json()["taken_back"] > 0


@pytest.mark.parametrize(
    ("name", "text", "told"),
    [
        ("off", "2026-12-25\ntomorrow", "Line 2 does not begin with a date such as 2026-12-25"),
        ("off", "2026-02-30", "Line 1 does not begin with a date"),
        ("off", ", Christmas", "Line 1 does not begin with a date"),
        ("off", f"2026-12-25 {'x' * 201}", "one line of up to 200 characters"),
        ("a b", "2026-12-25", "The name of a calendar must be"),
        ("...", "", None),
    ],
)
def test_mistakes_are_told(boss, hook, name, text, told):
    answer = put(boss, text, name=name)

    if told is None:
        assert answer.status_code == 200
        return
    assert answer.status_code == 422
    assert told in answer.json()["detail"]
    assert hook.list_calendars() == []


def test_the_list_has_next_days_and_jobs_and_says_what_is_missing(boss, guest, hook):
    today = execute_today(hook)
    days = {today + timedelta(days=n): f"reason {n}" for n in (-3, 0, 5, 9, 20)}
    hook.put_calendar("off", days)
    jobs = [job(f"job{n}", cron="0 0 * * *", exclude=[Calendar("off"), Calendar("off")]) for n in range(25)]
    hook.put_calendar("gone", [])
    hook.put_jobs("shop", [*jobs, job("waits", cron="0 0 * * *", exclude=[Calendar("gone"), "weekends"])])
    hook.delete_calendar("gone")

    gone, off = boss.get(CALENDARS).json()["calendars"]
    assert (gone["name"], gone["is_missing"], gone["jobs"]) == ("gone", True, 1)
    assert gone["first_jobs"] == [{"namespace": "shop", "name": "waits"}]
    assert (off["days"], off["jobs"], len(off["first_jobs"])) == (5, 25, 20)
    assert (off["first_day"], off["last_day"]) == (f"{min(days)}", f"{max(days)}")
    assert off["next_days"] == [
        {"day": f"{today + timedelta(days=n)}", "reason": f"reason {n}"} for n in (0, 5, 9)
    ]
    # People have written the reasons: they are for those who may read the connection.
    theirs = guest.get(CALENDARS).json()["calendars"][1]
    assert theirs["next_days"][0] == {"day": f"{today}"}
    shown = guest.get(f"{CALENDARS}/off").json()
    assert (len(shown["days"]), "text" in shown, "reason" in str(shown)) == (5, False, False)


def test_a_calendar_that_is_not_there(boss, hook):
    assert boss.get(f"{CALENDARS}/none").status_code == 404
    deleted = act(boss, "pgmq_default/calendars/none/delete", {"expected_version": 0})
    assert deleted.status_code == 404


def test_a_database_without_our_schema_has_none(boss, hook, database):
    execute(database, "DROP SCHEMA airflow_pgmq CASCADE")
    assert boss.get(CALENDARS).json()["calendars"] == []
    assert boss.get(f"{CALENDARS}/none").status_code == 404


def test_a_century_of_days_is_listed_in_short(boss, hook):
    first = date(2000, 1, 1)
    hook.put_calendar("long", [first + timedelta(days=n) for n in range(MOST_DAYS)])
    answer = boss.get(CALENDARS)
    assert len(answer.content) < 1000
    assert answer.json()["calendars"][0]["days"] == MOST_DAYS


def execute_today(hook):
    """The day of the database, in UTC."""
    with hook.client.connection() as conn:
        row = conn.execute("SELECT (statement_timestamp() AT TIME ZONE 'UTC')::date").fetchone()
    return row[0] if isinstance(row, tuple) else next(iter(row.values()))
