"""Calendars in the database: jobs follow them, also when they change."""

from __future__ import annotations

from datetime import date, datetime, time, timedelta, timezone
from typing import Any

import pytest

from airflow_pgmq.command_line import command
from airflow_pgmq.core.limits import Limits
from airflow_pgmq.db.client import Client
from airflow_pgmq.errors import CalendarChanged, CalendarNotFound, InvalidArgument, InvalidJobs, LockTimeout
from airflow_pgmq.jobs import At, Blackout, Calendar, Every, PeriodicJob, RRule
from airflow_pgmq.services import calendars, job_control, overview
from tests.fixtures.factories import client_of, execute, job, keys_in, queued, slots_in, state, tick
from tests.fixtures.postgres import Database

DAY = timedelta(days=1)


def daily(**fields: Any) -> PeriodicJob:
    return job(cron="0 0 * * *", **{"exclude": [Calendar("bank")], **fields})


def put(client: Client, *days: date, name: str = "bank") -> int:
    client.ensure_schema()
    return client.run(lambda: calendars.put(name, days))


def now(database: Database) -> datetime:
    (row,) = execute(database, "SELECT clock_timestamp() AS now")
    found: datetime = row["now"]
    return found.astimezone(timezone.utc)


def days_sent(database: Database) -> list[date]:
    return [slot.date() for slot in slots_in(database)]


def ticked(client: Client, *jobs: PeriodicJob, days: float = 10) -> Any:
    return tick(*jobs, look_ahead=24 * days).run(client)


def test_days_of_a_calendar_are_left_out(client: Client, database: Database) -> None:
    today = now(database).date()
    put(client, today + 2 * DAY, today + 3 * DAY)
    assert ticked(client, daily()).failed == {}
    assert days_sent(database) == [today + n * DAY for n in (1, 4, 5, 6, 7, 8, 9, 10)]


def test_a_calendar_that_changes_changes_what_waits(client: Client, database: Database) -> None:
    today = now(database).date()
    put(client, today + 2 * DAY)
    ticked(client, daily())
    # Until then, nothing of the others is touched.
    assert put(client, today + 3 * DAY) == 9
    summary = ticked(client, daily())
    assert days_sent(database) == [today + n * DAY for n in (1, 2, 4, 5, 6, 7, 8, 9, 10)]
    assert (summary.sent, summary.taken_back) == (9, 0)
    # And a third tick finds nothing to do.
    assert ticked(client, daily()).sent == 0


def test_slots_that_were_read_stay_sent(client: Client, database: Database) -> None:
    ticked(client, job(cron="0 * * * *"), days=0.2)
    put(client)
    ticked(client, job(cron="0 * * * *", exclude=[Calendar("bank")]), days=0.2)
    first, *_ = keys_in(database)
    execute(database, "UPDATE pgmq.q_mail SET read_ct = 1 WHERE headers ->> 'dedup_key' = %s", [first])
    put(client, now(database).date(), now(database).date() + DAY)
    ticked(client, job(cron="0 * * * *", exclude=[Calendar("bank")]), days=0.2)
    assert keys_in(database) == [first]


def test_a_missing_calendar_holds_up_its_jobs_only(client: Client, database: Database) -> None:
    today = now(database).date()
    summary = ticked(client, daily(), job("other", cron="0 0 * * *"), days=2)
    fix = command("calendars put bank FILE")
    assert f"There is no calendar 'bank'. Make it: `{fix}`" in summary.failed["job"][0]
    assert len(slots_in(database, "other")) == 2
    assert slots_in(database) == []
    put(client, today + DAY)
    assert ticked(client, daily(), job("other", cron="0 0 * * *"), days=2).failed == {}
    assert days_sent(database) == [today + 2 * DAY]


def test_a_calendar_that_is_gone_keeps_what_was_sent(client: Client, database: Database) -> None:
    put(client)
    ticked(client, daily(), days=2)
    client.run(lambda: calendars.delete("bank"))
    assert "job" in ticked(client, daily(), days=5).failed
    assert len(slots_in(database)) == 2
    (shown,) = overview.jobs(client)["jobs"]
    assert [problem["code"] for problem in shown["problems"]] == ["missing_calendar"]
    # The old definition cannot be finished without it; the new one goes on.
    assert ticked(client, daily(exclude=[]), days=5).failed == {}
    assert len(slots_in(database)) == 5


def test_a_backfill_follows_the_calendar(client: Client, database: Database) -> None:
    put(client, date(2026, 1, 2))
    start = datetime(2026, 1, 1, tzinfo=timezone.utc)
    tick(daily()).backfill(client, start, start + 4 * DAY)
    assert [slot.day for slot in slots_in(database)] == [1, 3, 4]
    client.run(lambda: calendars.delete("bank"))
    with pytest.raises(InvalidJobs, match="no calendar 'bank'"):
        tick(daily()).backfill(client, start, start + 4 * DAY)


def test_calendars_are_listed_with_their_jobs(client: Client, database: Database) -> None:
    put(client, date(2026, 12, 25), name="empty")
    client.run(lambda: calendars.put("bank", {date(2026, 12, 25): "Christmas", date(2026, 1, 1): ""}))
    ticked(client, daily(), daily(name="second"), days=1)
    found = client.run(lambda: calendars.get("bank"))
    assert (found.name, found.jobs) == ("bank", 2)
    assert found.days == {date(2026, 1, 1): "day off", date(2026, 12, 25): "Christmas"}
    with pytest.raises(CalendarNotFound, match="'none'"):
        client.run(lambda: calendars.get("none"))
    with pytest.raises(CalendarNotFound, match="'none'"):
        client.run(lambda: calendars.delete("none"))


def test_of_two_editors_the_second_is_told(client: Client) -> None:
    def change(days: list[date], expected: int | None) -> int:
        return client.run(lambda: calendars.put("bank", days, expected))

    assert change([date(2026, 1, 1)], 0) == 0
    seen = client.run(lambda: calendars.get("bank")).version
    with pytest.raises(CalendarChanged, match="has changed since you looked"):
        change([], 0)
    change([date(2026, 1, 2)], seen)
    for late in (seen, 7):
        with pytest.raises(CalendarChanged) as refused:
            change([], late)
        with pytest.raises(CalendarChanged):
            client.run(lambda late=late: calendars.delete("bank", late))
        assert refused.value.version == client.run(lambda: calendars.get("bank")).version
    assert list(client.run(lambda: calendars.get("bank")).days) == [date(2026, 1, 2)]
    client.run(lambda: calendars.delete("bank", refused.value.version))
    # Nobody makes again what somebody has deleted, unless they want to.
    with pytest.raises(CalendarChanged, match="does not exist any more"):
        change([], seen)
    assert change([], None) == 0


@pytest.mark.parametrize(
    ("name", "days", "match"),
    [
        ("", [], "name of a calendar"),
        ("..", [], "name of a calendar"),
        ("a b", [], "name of a calendar"),
        ("bank", [datetime(2026, 1, 1)], "has dates"),
        ("bank", ["2026-01-01"], "has dates"),
        ("bank", {date(2026, 1, 1): "x" * 300}, "one line of up to 200 characters"),
        ("bank", {date(2026, 1, 1): "a\nb"}, "one line of up to 200 characters"),
        ("bank", {date(2026, 1, 1): "a\0b"}, "one line of up to 200 characters"),
        ("bank", [date(1900, 1, 1) + n * DAY for n in range(40_000)], "at most 36,525 days"),
    ],
)
def test_mistakes(client: Client, name: str, days: Any, match: str) -> None:
    client.ensure_schema()
    with pytest.raises(InvalidArgument, match=match):
        client.run(lambda: calendars.put(name, days))


def test_a_tick_that_is_running_cannot_miss_the_change(client: Client, database: Database) -> None:
    """It holds the namespace's lock from before it reads the calendar until it has sent."""
    today = now(database).date()
    put(client)
    ticked(client, daily(), days=3)
    with database.connect() as conn:
        conn.execute("SELECT FROM airflow_pgmq.namespaces WHERE namespace = 'shop' FOR UPDATE")
        impatient = client_of(database.dsn, limits=Limits(lock=0.2))
        with pytest.raises(LockTimeout):
            put(impatient, today + DAY)
    assert put(client, today + DAY) == 3
    ticked(client, daily(), days=3)
    assert days_sent(database) == [today + 2 * DAY, today + 3 * DAY]


# Schedules that are no crons are ticked, deployed and shown like any other.


def test_schedules_of_each_kind(client: Client, database: Database) -> None:
    midnight = datetime.combine(now(database).date(), time(), timezone.utc) + DAY
    jobs = [
        PeriodicJob(name="every", schedule=Every(timedelta(minutes=90), midnight), queue_name="mail"),
        PeriodicJob(name="at", schedule=At(midnight, midnight + timedelta(hours=5)), queue_name="mail"),
        PeriodicJob(name="rule", schedule=RRule("FREQ=DAILY;BYHOUR=0,6"), queue_name="mail"),
        PeriodicJob(name="cron", schedule="0 */8 * * *", queue_name="mail"),
        PeriodicJob(
            name="dark",
            schedule="0 */8 * * *",
            queue_name="mail",
            exclude=[Blackout(midnight, midnight + timedelta(hours=9))],
        ),
    ]
    for _ in range(2):
        assert ticked(client, *jobs, days=2).failed == {}

    def sent(name: str) -> list[datetime]:
        end = midnight + timedelta(hours=12)
        return [slot for slot in slots_in(database, name) if midnight <= slot < end]

    def at(*hours: float) -> list[datetime]:
        return [midnight + timedelta(hours=each) for each in hours]

    assert sent("every") == at(0, 1.5, 3, 4.5, 6, 7.5, 9, 10.5)
    assert sent("at") == at(0, 5)
    assert sent("rule") == at(0, 6)
    assert sent("cron") == at(0, 8)
    assert sent("dark") == []
    shown = {each["name"]: each for each in overview.jobs(client)["jobs"]}
    assert shown["every"]["schedule"].startswith("every 1:30:00 from ")
    assert shown["cron"]["words"] == "Every 8 hours"
    assert all(each["problems"] == [] for each in shown.values())
    assert len(shown["rule"]["next_slots"]) == 5
    # A deploy that changes the rule takes back what waits.
    moved = PeriodicJob(name="rule", schedule=RRule("FREQ=DAILY;BYHOUR=3"), queue_name="mail")
    ticked(client, *(each for each in jobs if each.name != "rule"), moved, days=2)
    assert sent("rule") == at(3)
    assert state(database, "rule")["definition"]["schedule"] == {"rrule": "FREQ=DAILY;BYHOUR=3"}
    assert len(queued(database)) > 0


def test_the_next_slots_of_a_job(client: Client, database: Database) -> None:
    at = datetime(2026, 12, 24, 12, tzinfo=timezone.utc)
    put(client, date(2026, 12, 25))

    def next_slots(job: PeriodicJob, *args: Any) -> list[datetime]:
        return client.run(lambda: job_control.next_slots(job, *args))

    assert [slot.day for slot in next_slots(daily(), 3, at)] == [26, 27, 28]
    assert next_slots(job(cron="0 0 * * *"), 1, None)[0] > now(database)
    with pytest.raises(CalendarNotFound, match="'other'"):
        next_slots(daily(exclude=[Calendar("other")]), 1, at)
    with pytest.raises(InvalidArgument, match="time zone"):
        next_slots(daily(), 1, at.replace(tzinfo=None))
