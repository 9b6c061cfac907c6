"""How full the queues are: counted for whoever looks, and kept once a minute, because PGMQ has no history."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from datetime import datetime

from airflow_pgmq.client import Client, Connection, DriverError, LockNotAvailable
from airflow_pgmq.core import counting
from airflow_pgmq.core.counting import Counts, Table
from airflow_pgmq.core.messages import Row
from airflow_pgmq.errors import PgmqError
from airflow_pgmq.statements import maintenance, overview

#: Once a lock was waited for in vain, for each queue of its batch.
IMPATIENCE = "50ms"

_log = logging.getLogger(__name__)


def count(client: Client, conn: Connection, tables: Sequence[Table], now: datetime) -> dict[str, Counts]:
    """Count the messages of these queues; each statement is its own transaction, which bounds its locks."""
    how = counting.choose(tables)
    rows: dict[str, Row] = {}
    for batch in overview.batches((table, how[table.queue_name]) for table in tables):
        try:
            rows |= _rows(client, conn, batch, overview.PATIENCE)
        except LockNotAvailable:
            rows |= _one_by_one(client, conn, batch)
    return {
        table.queue_name: counting.counts(table, how[table.queue_name], rows.get(table.queue_name), now)
        for table in tables
    }


def _rows(
    client: Client, conn: Connection, batch: Sequence[overview.Chosen], patience: str
) -> dict[str, Row]:
    return client.run(lambda: overview.briefly(overview.counts(batch), patience), conn)


def _one_by_one(client: Client, conn: Connection, batch: Sequence[overview.Chosen]) -> dict[str, Row]:
    """Count each by itself: only those that somebody holds for himself, as VACUUM FULL does, are unknown."""
    rows: dict[str, Row] = {}
    for each in batch:
        try:
            rows |= _rows(client, conn, [each], IMPATIENCE)
        except LockNotAvailable:
            continue
    return rows


def take(client: Client, conn: Connection) -> int:
    """Keep a sample of every queue, unless this minute has one; of how many queues.

    :raises PermissionDenied: the role may not keep samples
    """
    if client.run(maintenance.is_sampled, conn):
        return 0
    at, tables = client.run(lambda: overview.briefly(overview.tables()), conn)
    if not tables:
        return 0
    counts = count(client, conn, tables, at)
    kept = client.run(lambda: maintenance.keep(at, tables, counts), conn)
    client.run(maintenance.prune_samples, conn)
    return kept


def take_if_allowed(client: Client, conn: Connection) -> None:
    """The same beside other work, which must not fail for it."""
    try:
        if client.run(maintenance.may_sample, conn):
            take(client, conn)
    except (PgmqError, DriverError) as exc:
        _log.warning("The queues were not sampled, so their rates have a gap: %s", exc)
