"""The next days of a job, day by day."""

from __future__ import annotations

from datetime import date, datetime, timedelta, timezone
from typing import Any

from airflow_pgmq.core import slot_calendar
from airflow_pgmq.jobs import Blackout, Calendar, PeriodicJob

#: A Thursday, in the afternoon of Berlin.
NOW = datetime(2026, 1, 1, 13, 30, tzinfo=timezone.utc)


def days(skipped: list[datetime] | None = None, **fields: Any) -> dict[date, slot_calendar.Day]:
    named = {"holidays": {date(2026, 1, 6): "Epiphany"}}
    job = PeriodicJob(**{"name": "job", "queue_name": "mail", "timezone": "Europe/Berlin", **fields}).on(
        named
    )
    return {day.day: day for day in slot_calendar.days(job, skipped or [], NOW)}


def test_each_day_of_the_jobs_zone_has_its_slots_and_today_what_is_left_of_it() -> None:
    found = days(cron="0 */6 * * *")

    assert list(found) == [date(2026, 1, 1) + timedelta(days=ahead) for ahead in range(35)]
    assert [found[date(2026, 1, day)].slots for day in (1, 2, 3)] == [1, 4, 4]
    assert found[date(2026, 1, 2)].first == datetime(2026, 1, 1, 23, tzinfo=timezone.utc)
    assert all(day.left_out == {} and day.off is None for day in found.values())


def test_the_last_day_is_whole() -> None:
    assert days(cron="0 * * * *")[date(2026, 2, 4)].slots == 24


def test_what_is_left_out_has_its_reason() -> None:
    window = Blackout(datetime(2026, 1, 5, 7), datetime(2026, 1, 5, 8))
    found = days(cron="0 6-9 * * *", exclude=["weekends", Calendar("holidays"), window])

    assert found[date(2026, 1, 3)].left_out == {"weekend": 4}
    assert found[date(2026, 1, 5)].left_out == {"blackout": 1}
    assert found[date(2026, 1, 6)].left_out == {"Epiphany": 4}
    assert [found[date(2026, 1, day)].slots for day in (2, 3, 5, 6, 7)] == [4, 0, 3, 0, 4]
    assert [found[date(2026, 1, day)].off for day in (2, 3, 5, 6)] == [None, "weekend", None, "Epiphany"]


def test_what_is_moved_is_said_to_be() -> None:
    found = days(cron="0 6 * * *", business_day="next")

    assert found[date(2026, 1, 3)].left_out == {"weekend, moved to the next business day": 1}
    assert found[date(2026, 1, 5)].slots == 1


def test_slots_that_people_left_out_are_named() -> None:
    six = datetime(2026, 1, 2, 5, tzinfo=timezone.utc)
    found = days([six], cron="0 6 * * *")

    assert (found[date(2026, 1, 2)].slots, found[date(2026, 1, 2)].left_out) == (0, {"skipped by hand": 1})


def test_of_a_job_of_every_second_only_the_days_that_were_counted_whole_have_a_number() -> None:
    found = list(days(cron="* * * * * *").values())
    assert [day.slots for day in found] == [None] * 35
    assert found[0].first == NOW + timedelta(seconds=1)

    by_minute = list(days(cron="* * * * *").values())
    assert [day.slots for day in by_minute[1:3]] == [1440, 1440]
    assert by_minute[-1].slots is None


def test_a_job_that_ends_has_no_more_slots() -> None:
    found = days(cron="0 6 * * *", end=datetime(2026, 1, 4))
    assert [day.slots for day in found.values()][:5] == [0, 1, 1, 0, 0]
