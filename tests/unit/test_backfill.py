"""The time interval that a backfill run covers."""

from __future__ import annotations

from zoneinfo import ZoneInfo

import pytest

from airflow_pgmq.core import backfill
from airflow_pgmq.core.schedule.zones import UTC
from airflow_pgmq.errors import InvalidArgument
from tests.unit.support import utc

NOON = utc("2026-06-01 12:00")
BEFORE = utc("2026-06-01 11:00")


@pytest.mark.parametrize("schedule", ["* * * * *", None, object()])
def test_an_interval_of_some_width_is_taken_as_it_is(schedule):
    assert backfill.of_run(BEFORE, NOON, BEFORE, schedule, UTC) == (BEFORE, NOON)


@pytest.mark.parametrize(
    ("schedule", "start"),
    [
        ("* * * * *", "2026-06-01 11:59"),
        ("*/15 * * * *", "2026-06-01 11:45"),
        ("0 12 * * *", "2026-05-31 12:00"),
        ("@hourly", "2026-06-01 11:00"),
        ("0 12 1 6 *", "2025-06-01 12:00"),
    ],
)
@pytest.mark.parametrize(
    "given", [(NOON, NOON, NOON), (None, NOON, NOON), (None, None, NOON), (NOON, NOON, None)]
)
def test_without_a_width_a_run_covers_the_time_since_the_run_before(schedule, start, given):
    """A plain cron schedule in Airflow 3 gives runs an interval that starts and ends at once."""
    assert backfill.of_run(*given, schedule, UTC) == (utc(start), NOON)


@pytest.mark.parametrize(
    ("cron", "run", "start"),
    [
        # Airflow's run of 02:30, which does not exist, is at 03:30, and our slot at 03:00.
        ("30 2 * * *", "2026-03-29 01:30", "2026-03-28 01:30"),
        # Of a time that comes twice, it takes the second.
        ("30 2 * * *", "2026-10-25 01:30", "2026-10-24 00:30"),
        ("*/20 1-3 * * *", "2026-10-25 01:00", "2026-10-24 23:40"),
    ],
)
def test_a_run_where_clocks_change_starts_no_later_than_the_run_before(cron, run, start):
    assert backfill.of_run(utc(run), utc(run), utc(run), cron, ZoneInfo("Europe/Berlin"))[0] == utc(start)


def test_runs_of_a_cron_schedule_have_adjacent_intervals():
    runs = [utc(f"2026-06-01 12:{minute:02}") for minute in range(10)]
    found = [backfill.of_run(at, at, at, "* * * * *", UTC) for at in runs]
    assert [end for _, end in found[:-1]] == [start for start, _ in found[1:]]


@pytest.mark.parametrize(
    "schedule", [None, object(), "@once", "@continuous", "", "0 0 31 2 *", "* * * * * * *"]
)
def test_where_no_interval_is_known_the_error_says_how_to_have_one(schedule):
    with pytest.raises(InvalidArgument, match="CronTriggerTimetable"):
        backfill.of_run(NOON, NOON, NOON, schedule, UTC)


def test_a_run_without_any_instant_has_no_interval():
    with pytest.raises(InvalidArgument, match="no data interval"):
        backfill.of_run(None, None, None, "* * * * *", UTC)
