"""`airflow pgmq create | drop | queues | peek | send | cancel | requeue | purge`."""

from __future__ import annotations

import json
import sys
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from airflow_pgmq import settings
from airflow_pgmq.cli.session import changes, confirm, fail, here, hook, looks, note, say, show, tabular
from airflow_pgmq.core import json_types, names
from airflow_pgmq.core.wording import number_of
from airflow_pgmq.errors import InvalidName, NotInstalled, QueueNotFound
from airflow_pgmq.services import creating, overview

if TYPE_CHECKING:
    from argparse import Namespace
    from collections.abc import Sequence

    from airflow_pgmq.hooks import PgmqHook

#: What a table shows of a queue and of a message; JSON and YAML have everything.
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
)
MESSAGE_COLUMNS = ("msg_id", "state", "read_ct", "enqueued_at", "vt", "headers", "message")


def check_names(ours: PgmqHook, queue_names: Sequence[str]) -> None:
    """Refuse all of them if one is not there and cannot be made, before anything is done."""
    try:
        for name in queue_names:
            names.new_queue(name)
    except InvalidName:
        there: set[str] = set()
        with suppress(NotInstalled):
            there = {queue.queue_name for queue in ours.list_queues()}
        for name in queue_names:
            if name not in there:
                names.new_queue(name)


def make_queues(args: Namespace, ours: PgmqHook, *, unlogged: bool = False) -> list[str]:
    """Make the queues that are missing, and let all of them announce their messages; what was done."""
    done = []
    for name in dict.fromkeys(args.queue_names):
        created = creating.create(ours.client, name, unlogged=unlogged, notify=not args.no_notify)
        if created.made:
            done.append(f"Queue {name}: made")
        elif created.announced:
            done.append(f"Queue {name}: inserts are announced")
        if created.obstacle is not None:
            why = here(args, created.obstacle)
            note(f"Queue {name}: inserts are not announced, so waiters look every 5 seconds. {why}")
    return done


@changes
def create(args: Namespace) -> None:
    """Make queues."""
    ours = hook(args)
    check_names(ours, args.queue_names)
    # Fails without PGMQ, which this command does not install.
    ours.list_queues()
    done = make_queues(args, ours, unlogged=args.unlogged)
    say("\n".join(done) or "Everything is there already.")


@changes
def drop(args: Namespace) -> None:
    """Drop a queue."""
    ours = hook(args)
    length = ours.metrics(args.queue_name).queue_length
    what = f"queue {args.queue_name} on {args.conn_id}"
    held = number_of(length, "message")
    confirm(args, f"Drop {what}, with {held}, its archive and its dedup keys?")
    ours.drop_queue(args.queue_name)
    say(f"Queue {args.queue_name}: dropped, with {held} and its archive.")


@looks
def queues(args: Namespace) -> None:
    """List queues; what is wrong with them in one column, and with the whole on standard error."""
    found = overview.queues(hook(args).client)
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
                "oldest_age": None if row["oldest_age"] is None else round(row["oldest_age"]),
                "problems": ", ".join(problem["code"] for problem in row["problems"]),
            }
            for row in rows
        ]
    show(args, rows)
    for problem in found["problems"]:
        note(f"{problem['text']} {problem['mend']}")


@looks
def peek(args: Namespace) -> None:
    """Show messages as they lie there, without the values of `redact_keys` unless asked for."""
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
    found = overview.messages(hook(args).client, search, keys=keys)
    rows = found["messages"]
    show(args, [{name: row[name] for name in MESSAGE_COLUMNS} for row in rows] if tabular(args) else rows)
    if found["next_after"] is not None:
        note(f"There may be more: --after {found['next_after']}")


@looks
def send(args: Namespace) -> None:
    """Send, and print what became of the message. Not in the audit log, which would hold the message."""
    text = sys.stdin.read() if args.message == "-" else args.message
    message = _parsed(text, "The message")
    headers = None if args.headers is None else _parsed(args.headers, "--headers")
    # A list would be the headers of many messages.
    if headers is not None and not isinstance(headers, dict):
        fail('--headers must be a JSON object, such as \'{"team": "x"}\'.')
    result = hook(args).send(
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


@changes
def cancel(args: Namespace) -> None:
    """Archive unread messages by their keys."""
    confirm(
        args, f"Cancel {number_of(len(args.dedup_keys), 'key')} of queue {args.queue_name} on {args.conn_id}?"
    )
    cancelled = hook(args).cancel(args.queue_name, args.dedup_keys)
    say(f"Queue {args.queue_name}: {number_of(len(cancelled), 'message')} cancelled.")


@changes
def requeue(args: Namespace) -> None:
    """Bring messages back."""
    ours = hook(args)
    if args.source == "dead_letters" and args.dead_letter_queue is None:
        _check_dead_letters(ours, args.queue_name)
    dead = args.dead_letter_queue or names.dead_letter_queue(args.queue_name)
    place = "the archive" if args.source == "archive" else dead
    which = number_of(len(args.msg_ids) if args.msg_ids else args.max_messages, "message")
    which = which if args.msg_ids else f"up to {which}"
    confirm(args, f"Bring {which} back from {place} into queue {args.queue_name} on {args.conn_id}?")
    moved = ours.requeue(
        args.queue_name,
        source=args.source,
        dead_letter_queue=args.dead_letter_queue,
        msg_ids=args.msg_ids,
        max_messages=args.max_messages,
        delay=args.delay,
    )
    say(f"Queue {args.queue_name}: {number_of(len(moved), 'message is', 'messages are')} back.")


@changes
def purge(args: Namespace) -> None:
    """Delete every message."""
    ours = hook(args)
    length = ours.metrics(args.queue_name).queue_length
    question = f"Delete every message of queue {args.queue_name} on {args.conn_id}"
    confirm(args, f"{question} ({number_of(length, 'message')})?")
    say(f"Queue {args.queue_name}: {number_of(ours.purge(args.queue_name), 'message')} deleted.")


def _check_dead_letters(ours: PgmqHook, queue_name: str) -> None:
    """Tell a queue that was never there from one whose messages never died."""
    there = {queue.queue_name for queue in ours.list_queues()}
    source = names.dead_letter_queue(queue_name)
    if source in there:
        return
    if queue_name not in there:
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
            f"{what} is not JSON ({exc}).", "A text needs double quotes inside the shell's: '\"text\"'."
        )
