"""Samples of queues, expired messages, retention: limited work that can be done every minute."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from airflow_pgmq.core import names
from airflow_pgmq.core.messages import Row
from airflow_pgmq.core.queue_counts import Counts, Table
from airflow_pgmq.db.statements import Statement, on_queue, scalar

#: A week, and the day on which a chart of a week begins.
SAMPLES_KEPT = timedelta(days=8)
#: More than the samples of a thousand queues in a minute.
SAMPLES_PRUNED = 2_000
#: Archived messages that are removed at once.
ARCHIVE_BATCH = 5_000
#: Pages of a queue that are searched for expired messages: 1 MB.
PAGES = 128


def may_sample() -> Statement[bool]:
    """Whether the role may keep samples."""
    return Statement("may_sample", decode=scalar("may"))


def is_sampled() -> Statement[bool]:
    """Whether this minute already has a sample."""
    return _newest_sample("current")


def newest_sample() -> Statement[datetime | None]:
    """When the queues were sampled last."""
    return _newest_sample("newest")


def _newest_sample(what: str) -> Statement[Any]:
    return Statement("newest_sample", decode=scalar(what))


def keep(at: datetime, tables: Sequence[Table], counts: Mapping[str, Counts]) -> Statement[int]:
    """Keep a sample of each queue; returns how many were the first of their minute."""
    counted = [counts[table.queue_name] for table in tables]
    return Statement(
        "keep_samples",
        {
            "at": at,
            "queue_names": [table.queue_name for table in tables],
            "inserted": [table.inserted for table in tables],
            "deleted": [table.deleted for table in tables],
            "lengths": [each.length for each in counted],
            "visible": [each.visible for each in counted],
            "in_flight": [each.in_flight for each in counted],
            "oldest_ages": [each.oldest_age for each in counted],
        },
        decode=len,
    )


def prune_samples() -> Statement[None]:
    """Remove samples that no chart shows."""
    return Statement("prune_samples", {"keep": SAMPLES_KEPT, "limit": SAMPLES_PRUNED})


def expiring(queue_name: str) -> Statement[list[Row]]:
    """Visible messages with an `expires_at`, in a part of the queue."""
    return on_queue(
        "expiring", queue_name, list, quoted_table=names.quoted(*names.table(queue_name)), pages=PAGES
    )


def prune_archive(queue_name: str, retention: timedelta) -> Statement[int]:
    """Remove a batch of messages that were archived before the retention; returns how many."""
    return Statement(
        "prune_archive",
        {"keep": retention, "limit": ARCHIVE_BATCH},
        {"archive": names.table(queue_name, "a")},
        len,
        queue_name,
    )
