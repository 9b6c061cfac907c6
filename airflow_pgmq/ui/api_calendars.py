"""Calendars, seen by all, and put and deleted by users who may edit the connection."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import date
from typing import Annotated, Any

from fastapi import APIRouter, Depends
from pydantic import Field

from airflow_pgmq.core import calendars, visible
from airflow_pgmq.errors import CalendarNotFound
from airflow_pgmq.hooks import PgmqHook
from airflow_pgmq.services import overview
from airflow_pgmq.ui import audit, auth, database
from airflow_pgmq.ui.auth import RequesterDep
from airflow_pgmq.ui.requests import Body, WholeNumber, body_of
from airflow_pgmq.ui.responses import ApiResponse

router = APIRouter(prefix="/api/{connection_id}/calendars")

#: Days that the audit log names of one change.
NOTED = 100
_Version = Annotated[WholeNumber, Field(ge=0, le=2**63 - 1)]


class Days(Body):
    """The days of a calendar as a text, and the version that they replace."""

    text: str
    expected_version: _Version


class Expected(Body):
    """The version that was looked at."""

    expected_version: _Version


DaysDep = Annotated[Days, Depends(body_of(Days))]
ExpectedDep = Annotated[Expected, Depends(body_of(Expected))]


@router.get("", dependencies=auth.READ)
async def list_calendars(requester: RequesterDep) -> ApiResponse:
    """All calendars, and the jobs that use them."""
    found = await database.read(requester, overview.calendars)
    return await database.in_thread(lambda: ApiResponse(found, requester.sees(visible.CALENDARS)))


@router.get("/{calendar}", dependencies=auth.READ)
async def show_calendar(requester: RequesterDep, calendar: str) -> ApiResponse:
    """One calendar with its days."""
    found = await database.read(requester, lambda client, conn: overview.calendar(client, calendar, conn))
    return await database.in_thread(lambda: ApiResponse(found, requester.sees(visible.CALENDAR)))


@router.post("/{calendar}/put", dependencies=auth.WRITE)
async def put(requester: RequesterDep, calendar: str, body: DaysDep) -> ApiResponse:
    """Make a calendar, or replace its days."""

    def work(hook: PgmqHook) -> dict[str, Any]:
        hook.client.ensure_schema()
        days = calendars.parsed(body.text)
        before = _days(hook, calendar)
        taken_back = hook.put_calendar(calendar, days, expected_version=body.expected_version)
        changed = {day for day in before.keys() & days.keys() if before[day] != days[day]}
        audit.note(
            requester,
            "put_calendar",
            calendar=calendar,
            days=len(days),
            added=_noted(days.keys() - before.keys()),
            removed=_noted(before.keys() - days.keys()),
            reasons_changed=_noted(changed),
            taken_back=taken_back,
        )
        return {"days": len(days), "taken_back": taken_back}

    return ApiResponse(await database.write(requester, work), None)


@router.post("/{calendar}/delete", dependencies=auth.WRITE)
async def delete(requester: RequesterDep, calendar: str, body: ExpectedDep) -> ApiResponse:
    """Delete a calendar; jobs that use it wait for it."""

    def work(hook: PgmqHook) -> dict[str, Any]:
        before = _days(hook, calendar)
        hook.delete_calendar(calendar, expected_version=body.expected_version)
        audit.note(requester, "delete_calendar", calendar=calendar, days=0, removed=_noted(before))
        return {"deleted": True}

    return ApiResponse(await database.write(requester, work), None)


def _days(hook: PgmqHook, name: str) -> Mapping[date, str]:
    try:
        return hook.get_calendar(name).days
    except CalendarNotFound:
        return {}


def _noted(days: Iterable[date]) -> str:
    ordered = sorted(days)
    text = ", ".join(day.isoformat() for day in ordered[:NOTED])
    return text if len(ordered) <= NOTED else f"{text} and {len(ordered) - NOTED} more"
