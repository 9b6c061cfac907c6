"""Calendars: days off that periodic jobs leave out."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import date, datetime

from airflow_pgmq.core.calendars import Calendar, NamedDays
from airflow_pgmq.core.messages import Row
from airflow_pgmq.db.statements import Statement, many

#: Of each calendar in a list of them.
NEXT_DAYS = 3
JOBS_SHOWN = 20


def put(name: str, days: Mapping[date, str], expected: int | None = None) -> Statement[bool]:
    """Make a calendar, or replace its days; False: it is not at the expected version, 0 for none."""
    ordered = sorted(days)
    return Statement(
        "put_calendar",
        {
            "name": name,
            "days": ordered,
            "reasons": [days[day] for day in ordered],
            "expected": expected,
        },
        decode=bool,
    )


def delete(name: str, expected: int | None = None) -> Statement[bool]:
    """Delete a calendar; False: it is not there, or not at the expected version."""
    return Statement("delete_calendar", {"name": name, "expected": expected}, decode=bool)


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


def outlines() -> Statement[list[Row]]:
    """All calendars, also those that only jobs know, without most of their days."""
    return Statement("outline_calendars", {"days": NEXT_DAYS, "jobs": JOBS_SHOWN}, decode=many(dict))


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
