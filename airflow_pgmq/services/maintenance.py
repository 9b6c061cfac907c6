"""Work for every minute: samples, expired messages, and archived ones past their retention."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from datetime import timedelta
from functools import partial
from typing import Any

from airflow_pgmq.core import names, queue_shape
from airflow_pgmq.core.messages import is_over
from airflow_pgmq.core.queue_counts import Table
from airflow_pgmq.db.client import Client, Connection, DriverError
from airflow_pgmq.db.statements import Flow, maintenance, overview, reading, sending
from airflow_pgmq.errors import PgmqError
from airflow_pgmq.services import faulty_queues, overdue, sampling

#: Batches of one archive in one run.
BATCHES = 10
#: Pages of ledger and slots that are looked through: 8 MB, about 80,000 rows.
LEDGER_PAGES = 1024


@dataclass
class Summary:
    """What was done."""

    #: Queues of which a sample was kept; 0 if another task had done it in this minute.
    sampled: int = 0
    #: Messages archived because their `expires_at` had passed.
    expired: int = 0
    #: Archived messages removed because they were past the retention.
    removed: int = 0
    #: Queues that were not sampled or not cleaned, with the reason: the role may not, another session has
    #: locked them, or their tables are not as PGMQ makes them.
    skipped: dict[str, str] = field(default_factory=dict)
    #: Slots of periodic jobs that were not acked within `expect_within`, and are not now.
    overdue: int = 0
    #: The same, by namespace.
    overdue_by_namespace: Counter[str] = field(default_factory=Counter)

    def as_dict(self) -> dict[str, Any]:
        """The counts, for XCom."""
        counts = asdict(self)
        del counts["overdue_by_namespace"]
        return counts


def maintain(
    client: Client,
    *,
    archive_retention: timedelta | None = None,
    queue_names: Sequence[str] | None = None,
    tell: overdue.Tell | None = None,
) -> Summary:
    """Do a bounded part of everything; the next run does more.

    :param archive_retention: remove archived messages that are older; None keeps them
    :param queue_names: the queues whose archives are pruned; all by default
    :param tell: tells of slots that are overdue; None: others tell
    :raises PermissionDenied: the role may not keep samples or prune the ledger
    """
    summary = Summary()
    with client.connection() as conn:
        client.ensure_schema(conn)
        # Before messages that expired are archived: then they do not wait any more.
        _look(client, conn, tell, summary)
        summary.sampled = sampling.take(client, conn)
        client.attempt(lambda: sending.prune_ledger(LEDGER_PAGES), conn)
        client.attempt(lambda: sending.prune_slots(LEDGER_PAGES), conn)
        for table in client.run(overview.tables, conn).tables:
            prunes = archive_retention if queue_names is None or table.queue_name in queue_names else None
            if why := queue_shape.unfit(table, archive=bool(table.bytes) or prunes is not None):
                summary.skipped[table.queue_name] = " ".join(why)
                continue
            try:
                _clean(client, conn, table, prunes, summary)
            except (PgmqError, DriverError) as exc:
                if not faulty_queues.is_of_a_queue(exc):
                    raise
                summary.skipped[table.queue_name] = faulty_queues.failure(table.queue_name, exc).text
    return summary


def _look(client: Client, conn: Connection, tell: overdue.Tell | None, summary: Summary) -> None:
    found = client.attempt(lambda: overdue.find_all(tells=tell is not None), conn)
    summary.overdue = len(found.slots)
    summary.overdue_by_namespace.update(each.namespace for each in found.slots)
    summary.skipped |= {each.queue_name: str(each) for each in found.unknown}
    if tell is not None:
        overdue.give(client, conn, found.alerts, tell)


def _clean(
    client: Client, conn: Connection, table: Table, retention: timedelta | None, summary: Summary
) -> None:
    # Dead letters wait for people, even if they have an `expires_at`.
    if table.bytes and not names.is_dead_letter_queue(table.queue_name):
        summary.expired += client.attempt(partial(expire, table.queue_name), conn)
    if retention is not None:
        # Batch by batch: what is removed is committed, even if the next batch fails.
        for removed in _prune(client, conn, table.queue_name, retention):
            summary.removed += removed


def expire(queue_name: str) -> Flow[int]:
    """Archive expired messages of a part of the queue, unless they are read meanwhile; how many."""
    rows = yield from overview.briefly(maintenance.expiring(queue_name))
    expired = [
        {name: row[name] for name in ("msg_id", "read_ct", "enqueued_at")}
        for row in rows
        if is_over(row["expires_at"], row["now"])
    ]
    if not expired:
        return 0
    return len((yield reading.archive(queue_name, expired)))


def _prune(client: Client, conn: Connection, queue_name: str, retention: timedelta) -> Iterator[int]:
    for _ in range(BATCHES):
        prune = maintenance.prune_archive(queue_name, retention)
        removed = client.attempt(partial(overview.briefly, prune), conn)
        yield removed
        if removed < maintenance.ARCHIVE_BATCH:
            return
