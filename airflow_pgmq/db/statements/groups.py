"""Reading in order: of each group at most one message is out at a time."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from airflow_pgmq.core import names
from airflow_pgmq.core.groups import MOST_GROUPS, Candidate, GroupCursor, choose
from airflow_pgmq.core.messages import Message
from airflow_pgmq.db import refusals
from airflow_pgmq.db.refusals import Refusal
from airflow_pgmq.db.statements import Flow, Statement, as_text, first, many, on_queue, queues, reading
from airflow_pgmq.errors import GroupIndexMissing, QueueNotFound


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

    The second statement sees what was committed before the first one had its locks. Otherwise two readers
    could get messages of one group, where a sender commits an earlier message between their looks.

    :param unread: only messages that nobody has read
    """
    most = min(reading.at_most(max_messages), MOST_GROUPS)
    if not most:
        return []
    found: list[Candidate] = yield on_queue(
        "next_in_groups",
        queue_name,
        many(lambda row: Candidate(row["grp"], row["msg_id"], row["tries"])),
        is_prepared=True,
        relation=names.quoted(*names.table(queue_name)),
        after=cursor.after,
        max_messages=most,
        condition=reading.as_json(condition),
        headers_condition=reading.as_json(headers_condition),
        unread=unread,
    )
    chosen, after = choose(found, most)
    if not chosen:
        return []
    messages: list[Message] = yield on_queue(
        "read_in_groups",
        queue_name,
        reading.decode_messages,
        is_prepared=True,
        groups=[each.group for each in chosen],
        msg_ids=[each.msg_id for each in chosen],
        visibility_timeout=visibility_timeout,
    )
    if after is not None:
        cursor.after = after
    return messages


def make_index(queue_name: str) -> Flow[bool]:
    """Make sure that the index exists which reading in order needs; True if it was built now."""
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


def _index_state(queue_name: str) -> Flow[Mapping[str, Any]]:
    schema, table = names.table(queue_name)
    index = names.quoted(schema, names.groups_index(queue_name))
    relation = names.quoted(schema, table)
    state = yield on_queue("groups_index_state", queue_name, first, relation=relation, index=index)
    if state is None:
        raise QueueNotFound(queue_name)
    found: Mapping[str, Any] = state
    return found


def _not_the_owner(statement: Statement[Any], refusal: Refusal) -> GroupIndexMissing:
    return GroupIndexMissing(
        "Reading in order needs an index that only the owner of the queue's table can make "
        f"({refusal.text}): {as_text(statement)}"
    )
