"""The commands for queues: `airflow pgmq create`, `queues`, `purge` and others."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

from airflow_pgmq.cli.session import (
    audited,
    confirm,
    hook_of,
    note,
    read_only,
    say,
    show,
    tabular,
    with_conn_id,
)
from airflow_pgmq.core import names, pauses
from airflow_pgmq.core.wording import number_of
from airflow_pgmq.errors import InvalidName, NotInstalled, QueueNotFound
from airflow_pgmq.services import creating, overview

if TYPE_CHECKING:
    from argparse import Namespace
    from collections.abc import Sequence

    from airflow_pgmq.hooks import PgmqHook

#: Columns of a queue in a table; JSON and YAML have all fields.
QUEUE_COLUMNS = (
    "queue_name",
    "length",
    "visible",
    "in_flight",
    "delayed",
    "dead_letters",
    "archived",
    "oldest_age",
    "jobs",
    "paused",
)


def check_names(hook: PgmqHook, queue_names: Sequence[str]) -> None:
    """Raise before any change if one of the queues does not exist and its name is invalid."""
    try:
        for name in queue_names:
            names.new_queue(name)
    except InvalidName:
        existing: set[str] = set()
        with suppress(NotInstalled):
            existing = {queue.queue_name for queue in hook.list_queues()}
        for name in queue_names:
            if name not in existing:
                names.new_queue(name)


def make_queues(args: Namespace, hook: PgmqHook, *, unlogged: bool = False) -> list[str]:
    """Create missing queues and make all of them announce their messages; return what was done."""
    done = []
    for name in dict.fromkeys(args.queue_names):
        created = creating.create(hook.client, name, unlogged=unlogged, notify=not args.no_notify)
        if created.made:
            done.append(f"Queue {name}: created")
        elif created.announced:
            done.append(f"Queue {name}: inserts are announced")
        if created.obstacle is not None:
            why = with_conn_id(args, created.obstacle)
            note(f"Queue {name}: inserts are not announced, so waiters poll every 5 seconds. {why}")
    return done


@audited
def create(args: Namespace) -> None:
    """Create queues."""
    hook = hook_of(args)
    check_names(hook, args.queue_names)
    # Raises where PGMQ is missing: this command does not install it.
    hook.list_queues()
    done = make_queues(args, hook, unlogged=args.unlogged)
    say("\n".join(done) or "Everything is there already.")


@audited
def drop(args: Namespace) -> None:
    """Drop a queue."""
    hook = hook_of(args)
    length = hook.metrics(args.queue_name).queue_length
    what = f"queue {args.queue_name} on {args.conn_id}"
    held = number_of(length, "message")
    confirm(args, f"Drop {what}, with {held}, its archive and its dedup keys?")
    hook.drop_queue(args.queue_name)
    say(f"Queue {args.queue_name}: dropped, with {held} and its archive.")


@audited
def pause_queue(args: Namespace) -> None:
    """Pause a queue, or say who has."""
    hook = hook_of(args)
    if hook.pause_queue(args.queue_name, args.reason):
        say(f"Queue {args.queue_name}: paused.")
        return
    known = next((each for each in hook.paused_queues() if each.queue_name == args.queue_name), None)
    say(f"Queue {args.queue_name}: {known or 'paused'}, which stays.")


@audited
def resume_queue(args: Namespace) -> None:
    """Resume a paused queue."""
    resumed = hook_of(args).resume_queue(args.queue_name)
    say(f"Queue {args.queue_name}: {'resumed' if resumed else 'was not paused'}.")


@read_only
def queues(args: Namespace) -> None:
    """List queues, their problems in a column; problems of the whole database go to standard error."""
    found = overview.queues(hook_of(args).client)
    rows = found["queues"]
    if args.queue_names:
        by_name = {row["queue_name"]: row for row in rows}
        for name in args.queue_names:
            if name not in by_name:
                raise QueueNotFound(name)
        rows = [by_name[name] for name in args.queue_names]
    if tabular(args):
        rows = [
            {
                **{name: row[name] for name in QUEUE_COLUMNS},
                "paused": None if row["paused"] is None else pauses.said(**row["paused"]),
                "oldest_age": None if row["oldest_age"] is None else round(row["oldest_age"]),
                "problems": ", ".join(problem["code"] for problem in row["problems"]),
            }
            for row in rows
        ]
    show(args, rows)
    for problem in found["problems"]:
        note(f"{problem['text']} {problem['fix']}")


@audited
def purge(args: Namespace) -> None:
    """Delete every message."""
    hook = hook_of(args)
    length = hook.metrics(args.queue_name).queue_length
    question = f"Delete every message of queue {args.queue_name} on {args.conn_id}"
    but = "" if args.with_slots else ", except slots of periodic jobs that wait for their time"
    confirm(args, f"{question} ({number_of(length, 'message')}){but}?")
    purged = hook.purge(args.queue_name, with_slots=args.with_slots)
    say(f"Queue {args.queue_name}: {number_of(purged, 'message')} deleted.")
