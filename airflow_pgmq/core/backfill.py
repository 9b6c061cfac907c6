"""The stretch of time that a backfill run stands for."""

from __future__ import annotations

from datetime import datetime, timedelta, tzinfo
from typing import Any

from airflow_pgmq.core.cron import problem
from airflow_pgmq.core.schedule import Schedule
from airflow_pgmq.errors import InvalidArgument

_TICK = timedelta(microseconds=1)


def of_run(
    start: datetime | None, end: datetime | None, logical_date: datetime | None, schedule: Any, zone: tzinfo
) -> tuple[datetime, datetime]:
    """A run's data interval; where it has no width, as with a plain cron in Airflow 3, since the run before.

    :param schedule: the Dag's
    :param zone: in which the Dag's schedule is meant
    :raises InvalidArgument: there is no interval and the schedule is no cron expression
    """
    if start is not None and end is not None and start < end:
        return start, end
    at = end or logical_date
    if at is not None and isinstance(schedule, str) and problem(schedule) is None:
        before = next(Schedule(schedule, zone).until(at - _shift(at, zone) - _TICK), None)
        if before is not None:
            return before, at
    raise InvalidArgument(
        "This backfill run has no data interval, so it is not known which slots it stands for. Schedule the "
        "Dag with CronTriggerTimetable('* * * * *', timezone='UTC', interval=timedelta(minutes=1))."
    )


def _shift(at: datetime, zone: tzinfo) -> timedelta:
    """By how much clocks changed in the day before.

    Airflow's runs are not where our slots are then, but later by no more than this. Slots that the intervals
    of two runs have in common are sent once; a slot between two intervals would be lost.
    """
    offsets = [each.astimezone(zone).utcoffset() or timedelta(0) for each in (at, at - timedelta(days=1))]
    return abs(offsets[0] - offsets[1])
