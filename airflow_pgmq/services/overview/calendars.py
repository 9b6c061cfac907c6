"""Calendars: days off, and the jobs that leave them out."""

from __future__ import annotations

from datetime import datetime, timezone
from typing import Any

from airflow_pgmq.core import calendars as core
from airflow_pgmq.core.messages import Row
from airflow_pgmq.db.client import Client, Connection
from airflow_pgmq.db.statements import calendars as statements
from airflow_pgmq.errors import CalendarNotFound
from airflow_pgmq.services import calendars as services
from airflow_pgmq.services.overview import installed


def calendars(client: Client, conn: Connection | None = None) -> dict[str, Any]:
    """All calendars with their next days, and those that are missing although jobs use them."""
    with client.connection(conn) as current:
        if not client.run(installed.has_calendars, current):
            return {"at": datetime.now(timezone.utc), "calendars": []}
        rows = client.run(statements.outlines, current)
    at = rows[0]["now"] if rows else datetime.now(timezone.utc)
    return {"at": at, "calendars": [_outline(row) for row in rows]}


def calendar(client: Client, name: str, conn: Connection | None = None) -> dict[str, Any]:
    """One calendar with all its days, also as the text that people edit.

    :raises CalendarNotFound: there is none
    """
    with client.connection(conn) as current:
        if not client.run(installed.has_calendars, current):
            raise CalendarNotFound(name)
        found = client.run(lambda: services.get(name), current)
    return {
        "name": found.name,
        "version": found.version,
        "changed_at": found.changed_at,
        "days": core.written(found.days),
        "text": core.text(found.days),
    }


def _outline(row: Row) -> dict[str, Any]:
    return {
        "name": row["name"],
        "is_missing": row["changed_at"] is None,
        "changed_at": row["changed_at"],
        "days": row["days"],
        "first_day": row["first_day"],
        "last_day": row["last_day"],
        "next_days": row["next_days"],
        "jobs": row["jobs"],
        "first_jobs": [{"namespace": namespace, "name": name} for namespace, name in row["first_jobs"]],
    }
