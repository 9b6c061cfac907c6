"""Tells whether periodic jobs run, for monitors that only know good and bad."""

from __future__ import annotations

from datetime import timedelta

from airflow_pgmq.command_line import command
from airflow_pgmq.core.health import Health, Silent
from airflow_pgmq.core.problems import TICK_SILENCE
from airflow_pgmq.db.statements import Flow, overdue, schema
from airflow_pgmq.errors import NotInstalled

#: The migration that brought overdue slots.
OVERDUE = 6


def examine(max_age: timedelta = TICK_SILENCE) -> Flow[Health]:
    """Slots that are overdue, and namespaces that were not ticked for so long.

    Namespaces without jobs, or whose jobs are all paused, have nothing to do.

    :raises NotInstalled: the schema airflow_pgmq is missing, or from before overdue slots
    """
    if ((yield from schema.known()) or 0) < OVERDUE:
        raise NotInstalled(
            f"The schema airflow_pgmq is missing, old or hidden from this role; run `{command('init')}`."
        )
    late = yield overdue.overdue(None)
    silent = yield overdue.silent(max_age)
    return Health(late, [Silent(**row) for row in silent])
