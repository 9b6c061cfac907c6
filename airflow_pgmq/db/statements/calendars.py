"""Calendars: days off that periodic jobs leave out."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import date, datetime

from airflow_pgmq.core.calendars import Calendar, NamedDays
from airflow_pgmq.core.messages import Row
from airflow_pgmq.db.statements import Statement, many


def put(name: str, days: Mapping[date, str]) -> Statement[None]:
    """Make a calendar, or replace its days."""
    ordered = sorted(days)
    return Statement(
        "put_calendar", {"name": name, "days": ordered, "reasons": [days[day] for day in ordered]}
    )


def delete(name: str) -> Statement[bool]:
    """Delete a calendar; whether it was there."""
    return Statement("delete_calendar", {"name": name}, decode=bool)


def found(names: Collection[str] | None = None) -> Statement[list[Calendar]]:
    """Calendars, and how many jobs use each; None: all of them."""
    return Statement(
        "list_calendars",
        {"names": None if names is None else sorted(names)},
        decode=many(lambda row: Calendar(row["name"], _days(row), row["changed_at"], row["jobs"])),
    )


def days_of(names: Collection[str]) -> Statement[NamedDays]:
    """The days of those of these calendars that exist."""
    return Statement(
        "calendar_days",
        {"names": sorted(names)},
        decode=lambda rows: {row["name"]: _days(row) for row in rows},
    )


def jobs_with(name: str) -> Statement[dict[str, list[str]]]:
    """Jobs that leave out the calendar's days, by namespace."""
    return Statement("jobs_with_calendar", {"name": name}, decode=_by_namespace)


def look_again(namespace: str, job_names: Sequence[str], now: datetime) -> Statement[None]:
    """Let the next tick compute slots of these jobs again from now on."""
    return Statement("look_again", {"namespace": namespace, "names": list(job_names), "now": now})


def _days(row: Row) -> dict[date, str]:
    return dict(zip(row["days"], row["reasons"], strict=True))


def _by_namespace(rows: Sequence[Row]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for row in rows:
        found.setdefault(row["namespace"], []).append(row["name"])
    return found
