"""Order within groups: where each process goes on, and groups that are stopped."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass

from airflow_pgmq.core.groups import GroupCursor, StoppedGroup
from airflow_pgmq.db.client import Client, Connection
from airflow_pgmq.db.statements import Flow, announcing, consuming, groups, queues, stopped_groups
from airflow_pgmq.errors import NotInstalled, PermissionDenied


def cursor(client: Client, queue_name: str) -> GroupCursor:
    """Where the readers of this client go on in the queue, so that each of its groups has its turn."""
    return client.fact(f"groups {queue_name}", GroupCursor)


@dataclass(frozen=True, slots=True)
class Indexed:
    """What was done to let a queue be read in order."""

    #: Whether the index was built now, and whether acks are announced from now on.
    built: bool
    announced: bool
    #: Why acks are not announced; None if they are.
    obstacle: str | None


def index(client: Client, queue_name: str, conn: Connection | None = None) -> Indexed:
    """Make the index of groups, and let acks be announced where that is possible.

    :raises GroupIndexMissing: this role may not make the index
    """

    def work() -> Flow[Indexed]:
        built = yield from groups.build_index(queue_name)
        announced, obstacle = yield from announcing.announce_settled(queue_name)
        return Indexed(built, announced, obstacle)

    with client.connection(conn) as current:
        # What the trigger needs may exist all the same.
        with suppress(NotInstalled, PermissionDenied):
            client.ensure_schema(current)
        return client.run(work, current)


def resume_without(queue_name: str, dead_letter_queue: str, group: str) -> Flow[list[int]]:
    """Let a group go on without the message that stopped it, which becomes a dead letter; returns its id."""
    found: list[StoppedGroup] = yield stopped_groups.listed(queue_name, group)
    reasons = {each.msg_id: each.reason or "" for each in found}
    # Locked now, and asked again: it may have been resumed meanwhile.
    ids: list[int] = yield stopped_groups.stopped(queue_name, list(reasons))
    if not ids:
        return []
    if (yield queues.missing([dead_letter_queue])):
        yield from consuming.make_dead_letter_queue(dead_letter_queue)
    moved: list[int] = yield consuming.dead_letter(
        queue_name, dead_letter_queue, ids, [reasons[each] for each in ids]
    )
    return moved
