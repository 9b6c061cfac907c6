"""Making queues that announce their messages, if role and database allow it."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass

from airflow_pgmq.db.client import Client, Connection
from airflow_pgmq.db.statements import Flow, announcing, queues
from airflow_pgmq.errors import NotInstalled, PermissionDenied


@dataclass(frozen=True, slots=True)
class Created:
    """What was done for a queue."""

    #: Whether the queue, or a part of it, was missing.
    made: bool = False
    #: Whether the notify trigger was added now.
    announced: bool = False
    #: Why its inserts are not announced; None if they are, or `notify` was False.
    obstacle: str | None = None


def create(
    client: Client,
    queue_name: str,
    *,
    unlogged: bool = False,
    partition_interval: str | int | None = None,
    retention_interval: str | int = 100_000,
    premake: int | None = None,
    notify: bool = True,
    conn: Connection | None = None,
) -> Created:
    """Create a queue if it is missing, and add the notify trigger if it is missing.

    If the trigger cannot be added, that is not an error: waiters look every five seconds.

    :param notify: False leaves a queue that exists as it is
    """

    def work() -> Flow[Created]:
        made = yield from queues.create(
            queue_name,
            unlogged=unlogged,
            partition_interval=partition_interval,
            retention_interval=retention_interval,
            premake=premake,
        )
        if not notify:
            return Created(made=made)
        announced, obstacle = yield from announcing.announce(queue_name)
        return Created(made, announced, obstacle)

    with client.connection(conn) as current:
        if notify:
            # What the trigger needs may exist all the same.
            with suppress(NotInstalled, PermissionDenied):
                client.ensure_schema(current)
        return client.run(work, current)
