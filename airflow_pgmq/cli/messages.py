"""The commands for messages that are in a queue: `airflow pgmq peek`, `read`, `archive` and others."""

from __future__ import annotations

import shlex
from collections.abc import Collection
from typing import TYPE_CHECKING, Any

from airflow_pgmq import settings
from airflow_pgmq.cli.session import (
    audited,
    confirm,
    fail,
    hook_of,
    note,
    object_of,
    read_only,
    say,
    show,
    tabular,
    with_conn_id,
)
from airflow_pgmq.command_line import command
from airflow_pgmq.core import message_view, names
from airflow_pgmq.core.wording import number_of
from airflow_pgmq.errors import QueueNotFound
from airflow_pgmq.services import nothing_read, overview

if TYPE_CHECKING:
    from argparse import Namespace

    from airflow_pgmq.core.messages import Message
    from airflow_pgmq.hooks import PgmqHook

#: Columns of a message in a table; JSON and YAML have all fields.
MESSAGE_COLUMNS = ("msg_id", "state", "read_ct", "enqueued_at", "vt", "headers", "message")
READ_COLUMNS = tuple(name for name in MESSAGE_COLUMNS if name != "state")


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


@audited
def read(args: Namespace) -> None:
    """Read messages, which hides them for a while, and say how to ack them."""
    if args.max_messages < 1:
        fail(f"--max-messages must be at least 1, not {args.max_messages}.")
    hook = hook_of(args)
    messages = hook.read(
        args.queue_name,
        max_messages=args.max_messages,
        visibility_timeout=args.visibility_timeout,
        condition=object_of(args.condition, "--condition"),
        headers_condition=object_of(args.headers_condition, "--headers-condition"),
        ordered=args.ordered,
    )
    keys = frozenset() if args.unredacted else settings.redact_keys()
    rows = [_read_row(each, keys) for each in messages]
    show(args, [{name: row[name] for name in READ_COLUMNS} for row in rows] if tabular(args) else rows)
    if not messages:
        is_filtered = bool(args.condition or args.headers_condition)
        why = nothing_read.reason(hook.client, args.queue_name, is_filtered=is_filtered, ordered=args.ordered)
        note(why)
        return
    ids = " ".join(str(each.msg_id) for each in messages)
    ack = command(f"archive {shlex.quote(args.queue_name)} --msg-ids {ids}")
    hidden = f"Hidden from other readers for {args.visibility_timeout:g} s"
    note(f"{hidden}. When the work is done: {with_conn_id(args, ack)}")


def _read_row(message: Message, keys: Collection[str]) -> dict[str, Any]:
    fields = ("msg_id", "read_ct", "enqueued_at", "vt", "message", "headers")
    row = {name: getattr(message, name) for name in fields} | {"archived_at": None, "too_large": False}
    shown = message_view.message(row, message.enqueued_at, peek=True, keys=keys)
    # All of them are in flight now, and whole.
    return {name: value for name, value in shown.items() if name not in ("state", "archived_at", "too_large")}


@audited
def archive(args: Namespace) -> None:
    """Ack messages by their ids."""
    _settled(args, hook_of(args).archive(args.queue_name, args.msg_ids), "archived")


@audited
def delete(args: Namespace) -> None:
    """Delete messages by their ids."""
    which = number_of(len(args.msg_ids), "message")
    confirm(args, f"Delete {which} of queue {args.queue_name} on {args.conn_id}?")
    _settled(args, hook_of(args).delete(args.queue_name, args.msg_ids), "deleted")


def _settled(args: Namespace, done: Collection[int], what: str) -> None:
    say(f"Queue {args.queue_name}: {number_of(len(done), 'message')} {what}.")
    if missing := [str(each) for each in dict.fromkeys(args.msg_ids) if each not in done]:
        note(f"Not in the queue: {', '.join(missing)}.")


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
