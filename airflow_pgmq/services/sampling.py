"""Counts of the queues: for the page on request, and kept once a minute, since PGMQ has no history."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from datetime import datetime

from airflow_pgmq.core import queue_counts, queue_shape
from airflow_pgmq.core.batch import chunks
from airflow_pgmq.core.messages import QueueMetrics, Row
from airflow_pgmq.core.problems import Problem
from airflow_pgmq.core.queue_counts import Counts, Table
from airflow_pgmq.db.client import Client, Connection, DriverError
from airflow_pgmq.db.statements import maintenance, overview, queues
from airflow_pgmq.errors import PgmqError
from airflow_pgmq.services import faulty_queues

_log = logging.getLogger(__name__)


def count(client: Client, conn: Connection, tables: Sequence[Table], now: datetime) -> dict[str, Counts]:
    """Count the messages of these queues; each statement is a transaction of its own, to keep locks short."""
    how = queue_counts.choose(tables)
    rows: dict[str, Row] = {}
    failed: dict[str, Problem] = {}
    for batch in overview.batches((table, how[table.queue_name]) for table in tables):
        counted, wrong = faulty_queues.apart(
            client, conn, batch, lambda each: each[0].queue_name, overview.counts
        )
        for each in counted:
            rows |= each
        failed |= wrong
    return {
        name: Counts(problem=failed[name])
        if name in failed
        else queue_counts.counts(table, how[name], rows.get(name), now)
        for table in tables
        for name in [table.queue_name]
    }


def archived(client: Client, conn: Connection, tables: Sequence[Table]) -> dict[str, int]:
    """Count the messages in small archives; the others have an estimate."""
    small = queue_counts.small_archives(tables)
    found = {table.queue_name: 0 for table in small if not table.archive_bytes}
    for batch in chunks([table for table in small if table.archive_bytes], overview.AT_ONCE):
        # For one that cannot be counted, the estimate is good enough.
        counted, _ = faulty_queues.apart(client, conn, batch, lambda each: each.queue_name, overview.archived)
        for each in counted:
            found |= each
    return found


def metrics(client: Client, conn: Connection) -> tuple[list[QueueMetrics], list[str]]:
    """PGMQ's counts of all queues, and the reasons why some are left out."""
    tables = client.run(overview.tables, conn).tables
    found: list[QueueMetrics] = []
    left_out = [why for table in tables for why in queue_shape.left_out(table, archive=False)]
    able = [
        table.queue_name for table in tables if not queue_shape.is_misnamed(table) and table.own.countable
    ]
    for batch in chunks(able, overview.AT_ONCE):
        answers, failed = faulty_queues.apart(client, conn, batch, str, queues.metrics_of)
        found += [each for answer in answers for each in answer]
        left_out += [problem.text for problem in failed.values()]
    return found, left_out


def take(client: Client, conn: Connection) -> int:
    """Keep a sample of every queue, unless this minute has one; returns of how many queues.

    :raises PermissionDenied: the role may not keep samples
    """
    if client.run(maintenance.is_sampled, conn):
        return 0
    known = client.run(lambda: overview.briefly(overview.tables()), conn)
    if not known.tables:
        return 0
    counts = count(client, conn, known.tables, known.now)
    kept = client.run(lambda: maintenance.keep(known.now, known.tables, counts), conn)
    client.run(maintenance.prune_samples, conn)
    return kept


def take_if_allowed(client: Client, conn: Connection) -> None:
    """Take samples after other work, which must not fail because of them."""
    try:
        if client.run(maintenance.may_sample, conn):
            take(client, conn)
    except (PgmqError, DriverError) as exc:
        _log.warning("The queues were not sampled, so their rates have a gap: %s", exc)
