"""Calendars that change, and what that means for the jobs that use them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import date

from airflow_pgmq.core import calendars as core
from airflow_pgmq.core.jobs import PeriodicJob
from airflow_pgmq.db.statements import Flow, calendars, periodic
from airflow_pgmq.errors import CalendarChanged, CalendarNotFound


def put(
    name: str, days: Mapping[date, str] | Iterable[date], expected_version: int | None = None
) -> Flow[int]:
    """Make a calendar, or replace its days; returns how many waiting messages were taken back.

    The next tick sends those of them again whose slots are still there, and slots that there are now.

    :param expected_version: of the calendar that was looked at; 0: there was none; None: any
    :raises CalendarChanged: it is at another version
    """
    checked = core.days(days)
    if not (yield calendars.put(core.name(name), checked, expected_version)):
        raise CalendarChanged(name, (yield from _version(name)))
    return (yield from _look_again(name))


def delete(name: str, expected_version: int | None = None) -> Flow[None]:
    """Delete a calendar. Jobs that use it are reported by each tick, and wait for it.

    :raises CalendarNotFound: there is none
    :raises CalendarChanged: it is at another version
    """
    if not (yield calendars.delete(core.name(name), expected_version)):
        if version := (yield from _version(name)):
            raise CalendarChanged(name, version)
        raise CalendarNotFound(name)


def get(name: str) -> Flow[core.Calendar]:
    """One calendar.

    :raises CalendarNotFound: there is none
    """
    found = yield calendars.found([core.name(name)])
    if not found:
        raise CalendarNotFound(name)
    calendar: core.Calendar = found[0]
    return calendar


def needed(jobs: Iterable[PeriodicJob]) -> Flow[core.NamedDays]:
    """The days of the calendars that jobs need; no statement if they need none."""
    names = {name for job in jobs if job.exclude for name in job.calendar_names}
    days: core.NamedDays = (yield calendars.days_of(names)) if names else {}
    return days


def _version(name: str) -> Flow[int]:
    """The version of a calendar; 0: there is none."""
    found = yield calendars.found([name])
    return found[0].version if found else 0


def _look_again(name: str) -> Flow[int]:
    """Take back what waits of jobs that use the calendar, so that their slots are computed again.

    A tick that has read the days from before holds its namespace's lock until it has sent.
    """
    taken_back = 0
    for namespace, job_names in (yield calendars.jobs_with(name)).items():
        locked = yield periodic.lock_namespace(namespace)
        if locked is None:
            continue
        now = locked["now"]
        counts = yield from periodic.take_back(namespace, job_names, after=now, now=now, again=True)
        taken_back += sum(count for count, _ in counts.values())
        yield calendars.look_again(namespace, job_names, now)
    return taken_back
