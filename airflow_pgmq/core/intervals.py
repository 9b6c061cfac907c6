"""The stretch of time that a backfill run stands for."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from airflow_pgmq.core.cron import problem
from airflow_pgmq.core.schedule import Schedule
from airflow_pgmq.errors import PgmqError

_LONGEST = timedelta(days=366)


def of_run(
    start: datetime | None, end: datetime | None, logical_date: datetime | None, schedule: Any
) -> tuple[datetime, datetime]:
    """A run's data interval; where it has no width, as with a plain cron in Airflow 3, since the run before.

    :raises PgmqError: there is no interval and the schedule is no cron expression
    """
    if start is not None and end is not None and start < end:
        return start, end
    at = end or logical_date
    if at is not None and isinstance(schedule, str) and problem(schedule) is None:
        before = Schedule(schedule, "UTC").last(at - _LONGEST, at - timedelta(microseconds=1))
        if before is not None:
            return before, at
    raise PgmqError(
        "This backfill run has no data interval, so it is not known which slots it stands for. Schedule the "
        "Dag with CronTriggerTimetable('* * * * *', timezone='UTC', interval=timedelta(minutes=1))."
    )
