"""The span of time that a backfill run covers."""

from __future__ import annotations

from datetime import datetime, timedelta, tzinfo
from typing import Any

from airflow_pgmq.core.schedule.cron import problem
from airflow_pgmq.core.schedule.cron_slots import CronSlots
from airflow_pgmq.errors import InvalidArgument

_TICK = timedelta(microseconds=1)


def of_run(
    start: datetime | None, end: datetime | None, logical_date: datetime | None, schedule: Any, zone: tzinfo
) -> tuple[datetime, datetime]:
    """A run's data interval; if empty, as with a plain cron in Airflow 3, the time since the previous run.

    :param schedule: the Dag's schedule
    :param zone: time zone of the Dag's schedule
    :raises InvalidArgument: there is no interval and the schedule is not a cron expression
    """
    if start is not None and end is not None and start < end:
        return start, end
    at = end or logical_date
    if at is not None and isinstance(schedule, str) and problem(schedule) is None:
        before = next(CronSlots(schedule, zone).before(at - _shift(at, zone)), None)
        if before is not None:
            return before, at
    raise InvalidArgument(
        "This backfill run has no data interval, so it is not known which slots it covers. Schedule the "
        "Dag with CronTriggerTimetable('* * * * *', timezone='UTC', interval=timedelta(minutes=1))."
    )


def _shift(at: datetime, zone: tzinfo) -> timedelta:
    """By how much the clocks changed in the day before `at`.

    On such a day Airflow's runs are later than our slots, by no more than this. A slot in the intervals of
    two runs is sent once; a slot between two intervals would be lost.
    """
    offsets = [each.astimezone(zone).utcoffset() or timedelta(0) for each in (at, at - timedelta(days=1))]
    return abs(offsets[0] - offsets[1])
