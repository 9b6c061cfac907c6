"""Tells of slots that did not happen in time, each once."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from airflow_pgmq.core import slots, stored_jobs
from airflow_pgmq.core.overdue import OverdueSlot
from airflow_pgmq.db.statements import Flow, calendars, overdue
from airflow_pgmq.errors import CalendarNotFound

_TICK = timedelta(microseconds=1)


def find(namespace: str | None = None) -> Flow[list[OverdueSlot]]:
    """All slots that are overdue now, the one that was expected first first."""
    late, _ = yield from _find(namespace)
    return late


def check(namespace: str | None = None) -> Flow[list[OverdueSlot]]:
    """Slots that are overdue and were not told before: each is returned by one call only.

    Slots in queues that this role may not look into are left to who may.
    """
    late, now = yield from _find(namespace)
    fresh = [each for each in late if each.found_at is None and each.state != "unknown"]
    if not fresh:
        return []
    noted = yield overdue.note(fresh, now)
    return [replace(each, found_at=now) for each in fresh if (each.namespace, each.name, each.slot) in noted]


def _find(namespace: str | None) -> Flow[tuple[list[OverdueSlot], datetime]]:
    late: list[OverdueSlot] = []
    now = datetime.min
    for row in (yield overdue.found(namespace)):
        now, definition = row.pop("now"), row.pop("definition")
        found = OverdueSlot(**row)
        if definition is not None:
            slot = yield from _first_slot(found, definition)
            within = found.expected_at - found.slot
            if slot is None or slot + within >= now:
                continue
            found = replace(found, slot=slot, expected_at=slot + within)
        late.append(found)
    return late, now


def _first_slot(late: OverdueSlot, definition: Mapping[str, Any]) -> Flow[datetime | None]:
    """The first slot that was not sent: after a deploy, only the instant of the deploy is stored."""
    try:
        job = stored_jobs.read(late.name, definition)
        names = job.calendar_names
        days = (yield calendars.days_of(names)) if names else {}
        return next(iter(slots.upcoming(job.on(days), late.slot - _TICK, 1)), None)
    except (*stored_jobs.UNREADABLE, CalendarNotFound):
        # It cannot be computed, which is a reason why it was not sent.
        return late.slot
