"""`airflow pgmq calendars list | show | put | delete`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from airflow_pgmq.cli.session import audited, confirm, hook_of, note, read_only, say, show, text_of
from airflow_pgmq.core import calendars
from airflow_pgmq.core.wording import number_of

if TYPE_CHECKING:
    from argparse import Namespace


@read_only
def list_calendars(args: Namespace) -> None:
    """List calendars."""
    found = hook_of(args).list_calendars()
    show(
        args,
        [
            {
                "name": each.name,
                "days": len(each.days),
                "first": min(each.days, default=None),
                "last": max(each.days, default=None),
                "jobs": each.jobs,
                "changed_at": each.changed_at,
            }
            for each in found
        ],
    )
    if not found:
        note("There is no calendar. Make one with `airflow pgmq calendars put NAME FILE`.")


@read_only
def show_calendar(args: Namespace) -> None:
    """Show the days of a calendar."""
    show(args, calendars.written(hook_of(args).get_calendar(args.name).days))


@audited
def put_calendar(args: Namespace) -> None:
    """Make a calendar, or replace its days."""
    days = calendars.parsed(text_of(args.file))
    taken_back = hook_of(args).put_calendar(args.name, days)
    taken = number_of(taken_back, "waiting message was", "waiting messages were")
    say(f"Calendar {args.name} has {number_of(len(days), 'day')}; {taken} taken back for the next tick.")


@audited
def delete_calendar(args: Namespace) -> None:
    """Delete a calendar."""
    jobs = hook_of(args).get_calendar(args.name).jobs
    confirm(args, f"Delete calendar {args.name}? {number_of(jobs, 'job uses', 'jobs use')} it.")
    hook_of(args).delete_calendar(args.name)
    say(f"Calendar {args.name} is deleted.")
