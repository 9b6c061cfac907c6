"""Whether our schema is there: the page also shows a database that has only PGMQ."""

from __future__ import annotations

from airflow_pgmq.db.statements import Flow, schema

#: The migration that brought slots.
SLOTS = 3
#: That of calendars.
CALENDARS = 4


def is_current() -> Flow[bool]:
    """Whether samples, jobs and slots can be queried."""
    return ((yield from schema.known()) or 0) >= SLOTS


def has_calendars() -> Flow[bool]:
    """Whether calendars can be queried."""
    return ((yield from schema.known()) or 0) >= CALENDARS
