"""Reading in order of the groups: what it needs, and where each process goes on."""

from __future__ import annotations

from typing import Any

from airflow_pgmq.core.groups import GroupCursor
from airflow_pgmq.core.messages import Message
from airflow_pgmq.db.client import Client, Connection
from airflow_pgmq.db.statements import groups


def index_check(queue_name: str) -> str:
    """The name of the check of a queue's index, for `Client.once`."""
    return f"index of groups {queue_name}"


def cursor(client: Client, queue_name: str) -> GroupCursor:
    """Where the readers of this client go on in the queue, so that each of its groups has its turn."""
    return client.fact(f"groups {queue_name}", GroupCursor)


def read(client: Client, queue_name: str, conn: Connection | None, **options: Any) -> list[Message]:
    """Read in order; the first read makes the index.

    :param options: those of `groups.read`
    :raises GroupIndexMissing: this role may not make it
    """
    place = cursor(client, queue_name)
    with client.connection(conn) as current:
        _ensure_index(client, queue_name, current)
        return client.run(lambda: groups.read(queue_name, place, **options), current)


def _ensure_index(client: Client, queue_name: str, conn: Connection) -> None:
    def make() -> None:
        client.run(lambda: groups.make_index(queue_name), conn)

    if client.begins(conn):
        client.once(index_check(queue_name), make)
    else:
        # In the caller's transaction, which may have created the queue; not remembered: it may roll back.
        make()
