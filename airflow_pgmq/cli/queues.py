"""The commands for queues and their messages: `airflow pgmq create`, `queues`, `send` and others."""

from __future__ import annotations

import json
import sys
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from airflow_pgmq import settings
from airflow_pgmq.cli.session import (
    audited,
    confirm,
    fail,
    hook_of,
    note,
    read_only,
    say,
    show,
    tabular,
    with_conn_id,
)
from airflow_pgmq.core import json_types, names, pauses
from airflow_pgmq.core.wording import number_of
from airflow_pgmq.errors import InvalidName, NotInstalled, QueueNotFound
from airflow_pgmq.services import creating, overview

if TYPE_CHECKING:
    from argparse import Namespace
    from collections.abc import Sequence

    from airflow_pgmq.hooks import PgmqHook

#: Columns of a queue and of a message in a table; JSON and YAML have all fields.
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
MESSAGE_COLUMNS = ("msg_id", "state", "read_ct", "enqueued_at", "vt", "headers", "message")


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


@read_only
def peek(args: Namespace) -> None:
    """Show messages without reading them; values of `redact_keys` only with `--unredacted`."""
    search = overview.Search(
        queue_name=args.queue_name,
        source=args.source,
        msg_id=args.msg_id,
        dedup_key=args.dedup_key,
        job=args.job,
        after=args.after,
        limit=args.limit,
        peek=True,
    )
    keys = frozenset() if args.unredacted else settings.redact_keys()
    found = overview.messages(hook_of(args).client, search, keys=keys)
    rows = found["messages"]
    show(args, [{name: row[name] for name in MESSAGE_COLUMNS} for row in rows] if tabular(args) else rows)
    if found["next_after"] is not None:
        note(f"There may be more: --after {found['next_after']}")


@read_only
def send(args: Namespace) -> None:
    """Send a message and print the result. Not in the audit log: a row there would contain the message."""
    text = sys.stdin.read() if args.message == "-" else args.message
    message = _parsed(text, "The message")
    headers = None if args.headers is None else _parsed(args.headers, "--headers")
    # The hook takes a list as the headers of several messages.
    if headers is not None and not isinstance(headers, dict):
        fail('--headers must be a JSON object, such as \'{"team": "x"}\'.')
    result = hook_of(args).send(
        args.queue_name,
        message,
        headers=headers,
        delay=args.delay,
        ttl=args.ttl,
        group=args.group,
        dedup_key=args.dedup_key,
        dedup_scope=args.dedup_scope,
        on_duplicate=args.on_duplicate,
    )
    show(args, [result.as_dict()])


@audited
def cancel(args: Namespace) -> None:
    """Archive unread messages by their keys."""
    confirm(
        args, f"Cancel {number_of(len(args.dedup_keys), 'key')} of queue {args.queue_name} on {args.conn_id}?"
    )
    cancelled = hook_of(args).cancel(args.queue_name, args.dedup_keys)
    say(f"Queue {args.queue_name}: {number_of(len(cancelled), 'message')} cancelled.")


@audited
def requeue(args: Namespace) -> None:
    """Requeue dead letters, or archived messages, into their queue."""
    hook = hook_of(args)
    if args.source == "dead_letters" and args.dead_letter_queue is None:
        _check_dead_letters(hook, args.queue_name)
    dead = args.dead_letter_queue or names.dead_letter_queue(args.queue_name)
    place = "the archive" if args.source == "archive" else dead
    which = number_of(len(args.msg_ids) if args.msg_ids else args.max_messages, "message")
    which = which if args.msg_ids else f"up to {which}"
    confirm(args, f"Requeue {which} from {place} into queue {args.queue_name} on {args.conn_id}?")
    moved = hook.requeue(
        args.queue_name,
        source=args.source,
        dead_letter_queue=args.dead_letter_queue,
        msg_ids=args.msg_ids,
        max_messages=args.max_messages,
        delay=args.delay,
    )
    say(f"Queue {args.queue_name}: {number_of(len(moved), 'message is', 'messages are')} requeued.")


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


def _check_dead_letters(hook: PgmqHook, queue_name: str) -> None:
    """Tell a queue that does not exist from one that has no dead letters yet."""
    existing = {queue.queue_name for queue in hook.list_queues()}
    source = names.dead_letter_queue(queue_name)
    if source in existing:
        return
    if queue_name not in existing:
        raise QueueNotFound(queue_name)
    fail(
        f"Queue {queue_name} has no dead letters: there is no queue {source!r}.",
        "If they are in another one, name it with --dead-letter-queue.",
    )


def _parsed(text: str, what: str) -> Any:
    try:
        return json.loads(text, object_pairs_hook=json_types.once)
    except (ValueError, RecursionError) as exc:
        return fail(
            f"{what} is not JSON ({exc}).", "A string needs double quotes inside the shell's: '\"text\"'."
        )
