"""The commands for groups of a queue that is read in order: `airflow pgmq groups` and others."""

from __future__ import annotations

from typing import TYPE_CHECKING

from airflow_pgmq import settings
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
from airflow_pgmq.services import ordering, overview

if TYPE_CHECKING:
    from argparse import Namespace

#: Columns of a table; JSON and YAML have all fields.
COLUMNS = ("group", "state", "until", "messages", "msg_id", "tries", "reason")


@read_only
def groups(args: Namespace) -> None:
    """List groups, those that are held back first."""
    found = overview.groups(
        hook_of(args).client, args.queue_name, keys=settings.redact_keys(), limit=args.limit
    )
    rows = found["groups"]
    show(args, [{name: row[name] for name in COLUMNS} for row in rows] if tabular(args) else rows)
    if not found["ordered"]:
        note(f"Queue {args.queue_name} is not read in order yet: `index-groups` prepares it for that.")
    elif found["more"]:
        note(f"There may be more: --limit {2 * args.limit}")


@audited
def resume_group(args: Namespace) -> None:
    """Let a stopped group go on."""
    if args.dead_letter:
        confirm(args, f"Go on with group {args.group} of queue {args.queue_name} without its next message?")
    resumed = hook_of(args).resume_group(args.queue_name, args.group, as_dead_letter=args.dead_letter)
    say(f"Queue {args.queue_name}: group {args.group} {'goes on' if resumed else 'is not stopped'}.")


@audited
def index_groups(args: Namespace) -> None:
    """Make the index of groups, and announce acks."""
    done = ordering.index(hook_of(args).client, args.queue_name)
    parts = ["the index is built" if done.built else "the index is there already"]
    if done.announced:
        parts.append("acks are announced from now on")
    say(f"Queue {args.queue_name}: {', '.join(parts)}.")
    if done.obstacle is not None:
        why = with_conn_id(args, done.obstacle)
        note(f"Acks are not announced, so who waits in order looks every 5 seconds. {why}")
