"""Reading in order: of each group at most one message is out at a time."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from airflow_pgmq.core import iso8601, names
from airflow_pgmq.core.groups import MOST_GROUPS, Candidate, Group, GroupCursor, choose, state
from airflow_pgmq.core.messages import Message, Row
from airflow_pgmq.db import refusals
from airflow_pgmq.db.refusals import Refusal
from airflow_pgmq.db.statements import (
    Flow,
    Statement,
    announcing,
    as_text,
    column,
    first,
    on_queue,
    queues,
    reading,
    union,
)
from airflow_pgmq.errors import GroupIndexMissing, QueueNotFound

#: Messages of a group that are counted.
COUNTED = 1000
#: For this many hidden messages it is checked whose they are.
LOOKED_THROUGH = 10_000


def read(
    queue_name: str,
    cursor: GroupCursor,
    *,
    max_messages: int,
    visibility_timeout: int,
    condition: Mapping[str, Any] | None = None,
    headers_condition: Mapping[str, Any] | None = None,
    unread: bool = False,
) -> Flow[list[Message]]:
    """Read up to `max_messages`, but at most 250, each of another group or of none.

    Makes the index if it is missing. The second statement sees what was committed before the first one had
    its locks. Otherwise two readers could get messages of one group, where a sender commits an earlier
    message between their looks.

    :param unread: only messages that nobody has read
    :raises GroupIndexMissing: this role may not make it
    """
    most = min(reading.at_most(max_messages), MOST_GROUPS)
    if not most:
        return []
    conditions = {
        "condition": reading.as_json(condition),
        "headers_condition": reading.as_json(headers_condition),
    }
    walk = _walk(queue_name, most, after=cursor.after, unread=unread, **conditions)
    found: list[Candidate] | None = yield walk
    if found is None:
        yield from make_index(queue_name)
        found = yield walk
    chosen, after, alone_first = choose(found or [], most, cursor.alone_first)
    if not chosen:
        return []
    messages: list[Message] = yield reading.messages(
        "read_in_groups",
        queue_name,
        is_prepared=True,
        msg_ids=[each.msg_id for each in chosen],
        visibility_timeout=visibility_timeout,
    )
    if after is not None:
        cursor.after = after
    cursor.alone_first = alone_first
    return messages


def _walk(queue_name: str, most: int, **params: Any) -> Statement[list[Candidate] | None]:
    return on_queue(
        "next_in_groups",
        queue_name,
        _candidates,
        is_prepared=True,
        max_messages=most,
        locks=True,
        **_places(queue_name),
        **params,
    )


def _candidates(rows: Sequence[Row]) -> list[Candidate] | None:
    """What was found; None: the index is missing."""
    state, *found = rows
    return [Candidate(row["grp"], row["msg_id"], row["tries"]) for row in found] if state["indexed"] else None


def count(
    queue_name: str,
    *,
    limit: int,
    condition: Mapping[str, Any] | None = None,
    headers_condition: Mapping[str, Any] | None = None,
) -> Statement[int | None]:
    """How many messages a read in order could return, counted up to `limit`; None: the index is missing."""
    return on_queue(
        "count_in_groups",
        queue_name,
        lambda rows: rows[0]["visible"] if rows[0]["indexed"] else None,
        **to_look(queue_name, limit),
        condition=reading.as_json(condition),
        headers_condition=reading.as_json(headers_condition),
    )


def to_look(queue_name: str, limit: int) -> dict[str, Any]:
    """Values of a statement that looks for as many messages as could be read in order, and locks nothing."""
    return {"max_messages": limit, "after": "", "unread": False, "locks": False, **_places(queue_name)}


def _places(queue_name: str) -> dict[str, Any]:
    """The queue's table and its index of groups, quoted."""
    schema, table = names.table(queue_name)
    return {
        "relation": names.quoted(schema, table),
        "index": names.quoted(schema, names.groups_index(queue_name)),
    }


def listed(queue_name: str, *, limit: int) -> Flow[tuple[list[Group], bool] | None]:
    """Groups, those that are held back first, and whether there are more; None: the queue has no index."""
    if not (yield from _index_state(queue_name))["valid"]:
        return None

    def decode(rows: Sequence[Row]) -> tuple[list[Group], bool]:
        return [_group(row) for row in rows], any(row["groups"] > limit for row in rows)

    found: tuple[list[Group], bool] = yield on_queue(
        "list_groups", queue_name, decode, limit=limit, counted=COUNTED
    )
    return found


def _group(row: Row) -> Group:
    at = iso8601.of_header(row["stopped_at"])
    which = state(
        read_ct=row["read_ct"],
        is_released=row["is_released"],
        is_stopped=at is not None,
        until=row["until"],
        now=row["now"],
    )
    is_stopped = which == "stopped"
    return Group(
        row["grp"],
        which,
        None if which in ("ready", "stopped") else row["until"],
        row["msg_id"],
        row["tries"],
        row["messages"],
        row["reason"] if is_stopped else None,
        at if is_stopped else None,
    )


def out_of_order(queue_names: Iterable[str]) -> Statement[list[Row]]:
    """Of queues with the index: how many groups are with several readers, and how many are stopped."""
    parts: list[Statement[Any]] = [
        on_queue("out_of_order", name, hidden=LOOKED_THROUGH, group=None) for name in queue_names
    ]
    return union(parts, list)


def without_order(queue_names: Iterable[str]) -> Statement[list[str]]:
    """Of queues without the index: those whose newest messages have groups."""
    return union([on_queue("without_order", name) for name in queue_names], column("queue_name"))


def make_index(queue_name: str) -> Flow[bool]:
    """Make sure that the index exists which reading in order needs; True if it was built now.

    Where the role may, acks are announced from then on, too; else waiters look every few seconds.

    :raises GroupIndexMissing: this role may not make it
    """
    built = yield from build_index(queue_name)
    yield from announcing.announce_settled(queue_name)
    return built


def build_index(queue_name: str) -> Flow[bool]:
    """The index alone."""
    create: Statement[None] = Statement(
        "create_groups_index",
        identifiers={
            "index_name": (names.groups_index(queue_name),),
            "table": names.table(queue_name),
        },
        queue_name=queue_name,
        errors={refusals.INSUFFICIENT_PRIVILEGE: _not_the_owner},
    )
    return (yield from queues.build_index(create, lambda: _index_state(queue_name)))


def _state(queue_name: str) -> Statement[Row | None]:
    return on_queue("groups_index_state", queue_name, first, **_places(queue_name))


def is_ordered(queue_name: str) -> Flow[bool]:
    """Whether the queue is read in order: it has the index. False if it has no table."""
    state: Mapping[str, Any] | None = yield _state(queue_name)
    return state is not None and bool(state["valid"])


def _index_state(queue_name: str) -> Flow[Mapping[str, Any]]:
    state = yield _state(queue_name)
    if state is None:
        raise QueueNotFound(queue_name)
    found: Mapping[str, Any] = state
    return found


def no_index(queue_name: str) -> GroupIndexMissing:
    """The error of a statement that needs the index and does not make it."""
    return GroupIndexMissing(
        f"Reading queue {queue_name!r} in order needs an index, which is missing: "
        "PgmqHook().index_groups() makes it."
    )


def _not_the_owner(statement: Statement[Any], refusal: Refusal) -> GroupIndexMissing:
    return GroupIndexMissing(
        "Reading in order needs an index that only the owner of the queue's table can make "
        f"({refusal.text}): {as_text(statement)}"
    )
