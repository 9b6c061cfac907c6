"""Reading and acking: every ack is fenced, so a late worker cannot ack another's message."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from operator import attrgetter
from typing import Any

from airflow_pgmq.core import names, payload
from airflow_pgmq.core.consumer_policy import Ack
from airflow_pgmq.core.delays import ParsedDelay
from airflow_pgmq.core.messages import Message, Reference, fences
from airflow_pgmq.db import refusals
from airflow_pgmq.db.refusals import Meaning
from airflow_pgmq.db.statements import Flow, Statement, Work, column, incarnations, on_queue, scalar
from airflow_pgmq.errors import InvalidArgument

Messages = Reference | Iterable[Reference]


def read(
    queue_name: str,
    *,
    max_messages: int,
    visibility_timeout: int,
    condition: Mapping[str, Any] | None = None,
    headers_condition: Mapping[str, Any] | None = None,
) -> Statement[list[Message]]:
    """Read up to `max_messages` visible messages, oldest first."""
    params: dict[str, Any] = {
        "max_messages": at_most(max_messages),
        "visibility_timeout": visibility_timeout,
        "condition": as_json(condition),
    }
    if not headers_condition:
        return messages("read", queue_name, is_prepared=True, **params)
    params["headers_condition"] = as_json(headers_condition)
    return messages("read_by_headers", queue_name, is_prepared=True, **params)


def visible(
    queue_name: str,
    *,
    limit: int,
    condition: Mapping[str, Any] | None,
    headers_condition: Mapping[str, Any] | None,
) -> Statement[int]:
    """How many matching messages are visible, counted up to `limit`."""
    return on_queue(
        "visible",
        queue_name,
        scalar("visible"),
        limit=limit,
        condition=as_json(condition),
        headers_condition=as_json(headers_condition),
    )


def by_id(queue_name: str, msg_ids: Iterable[int]) -> Statement[list[Message]]:
    """Messages by their ids, in the queue or its archive; in the order of the ids."""
    wanted = list(msg_ids)

    def decode(messages: Sequence[Message]) -> list[Message]:
        found = {message.msg_id: message for message in messages}
        return [found[each] for each in wanted if each in found]

    return Statement(
        "by_id",
        {"msg_ids": wanted},
        {"table": names.table(queue_name), "archive": names.table(queue_name, "a")},
        decode,
        queue_name,
        Message.maker,
    )


def pop(queue_name: str, max_messages: int) -> Statement[list[Message]]:
    """Read and delete at once."""
    if max_messages == 1:
        return messages("pop", queue_name)
    return messages(
        "pop_many",
        queue_name,
        errors=refusals.needs("1.7.0"),
        max_messages=at_most(max_messages),
    )


def archive(queue_name: str, messages: Messages) -> Statement[list[int]]:
    """Move messages to the archive; returns the ids that were still ours."""
    refused = {refusals.UNIQUE_VIOLATION: refusals.archive_refused}
    return _ack("archive", queue_name, messages, errors=refused)


def free_archive_ids(queue_name: str, msg_ids: Sequence[int] | None) -> Flow[bool]:
    """Give archived messages with these ids other ids; False if there are none.

    Ids start again if a crash empties an unlogged queue, whose archive is logged; a restore of only the queue
    may bring back messages that are archived.
    """
    yield incarnations.lock(queue_name)
    tables = {"table": names.table(queue_name), "archive": names.table(queue_name, "a")}
    moved: int = yield Statement(
        "free_archive_ids", {"msg_ids": msg_ids}, tables, scalar("moved"), queue_name
    )
    if moved:
        yield incarnations.pass_archive(queue_name)
    return bool(moved)


def delete(queue_name: str, messages: Messages) -> Statement[list[int]]:
    """Delete messages; returns the ids that were still ours."""
    return _ack("delete", queue_name, messages)


def acked(queue_name: str, messages: Messages, ack: Ack, *, again: bool = False) -> Work[list[int]]:
    """Archive or delete messages; returns the ids that were still ours.

    :param again: whether an earlier attempt may have done it, and its answer was lost
    """
    statement = archive(queue_name, messages) if ack == "archive" else delete(queue_name, messages)
    return settle_again(statement, queue_name, messages, archived=ack == "archive") if again else statement


def settle_again(
    statement: Statement[list[int]], queue_name: str, messages: Messages, *, archived: bool
) -> Flow[list[int]]:
    """Run it, and add the ids that an earlier attempt has settled."""
    done: list[int] = yield statement
    found: list[int] = yield settled(queue_name, messages, archived=archived)
    return [*done, *sorted(set(found) - set(done))]


def settled(queue_name: str, messages: Messages, *, archived: bool) -> Statement[list[int]]:
    """Messages that are no longer in the queue as we read them, because we must have settled them before."""
    return Statement(
        "settled",
        {**fences(messages)._asdict(), "archived": archived},
        {"table": names.table(queue_name), "archive": names.table(queue_name, "a")},
        column("msg_id"),
        queue_name,
    )


def set_vt(queue_name: str, messages: Messages, delay: ParsedDelay) -> Statement[list[int]]:
    """Make messages visible again after `delay`; returns the ids that were still ours."""
    return _ack("set_vt", queue_name, messages, **delay.params, channel=names.channel(queue_name))


def _ack(
    name: str,
    queue_name: str,
    messages: Messages,
    *,
    errors: Mapping[str, Meaning] | None = None,
    **params: Any,
) -> Statement[list[int]]:
    held = fences(messages)._asdict()
    return on_queue(name, queue_name, column("msg_id"), errors=errors, **held, **params)


def messages(name: str, queue_name: str, **options: Any) -> Statement[list[Message]]:
    """A statement that returns messages, by id: an UPDATE returns its rows in no particular order."""
    return on_queue(name, queue_name, by_msg_id, rows=Message.maker, **options)


def by_msg_id(found: Iterable[Message]) -> list[Message]:
    """Decode messages, by id."""
    return sorted(found, key=attrgetter("msg_id"))


def at_most(max_messages: int) -> int:
    """Check the number of messages that a call may take."""
    if max_messages < 0:
        raise InvalidArgument(f"max_messages must not be negative, as {max_messages} is.")
    return max_messages


def as_json(condition: Mapping[str, Any] | None) -> str | None:
    """A condition as `jsonb` text; None for an empty one, which matches everything, as in PGMQ."""
    return payload.dumps(condition, what="condition") if condition else None
