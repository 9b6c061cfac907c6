"""Tells whether periodic jobs run, for monitors that only know good and bad."""

from __future__ import annotations

from datetime import timedelta

from airflow_pgmq.core.health import Health, Silent
from airflow_pgmq.db.statements import Flow
from airflow_pgmq.db.statements import overdue as statements
from airflow_pgmq.services import overdue

#: A namespace is ticked every minute; so long after, something is wrong.
MAX_AGE = timedelta(minutes=5)


def examine(max_age: timedelta = MAX_AGE) -> Flow[Health]:
    """Slots that are overdue, and namespaces that were not ticked for so long.

    Namespaces without jobs, or whose jobs are all paused, have nothing to do.
    """
    late = yield from overdue.find()
    silent = yield statements.silent(max_age)
    return Health(late, [Silent(**row) for row in silent])
