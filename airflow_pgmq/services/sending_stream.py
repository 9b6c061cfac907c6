"""Sends the messages of an iterator, in bounded memory."""

from __future__ import annotations

import logging
import time
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from airflow_pgmq.core.batch import Batch
from airflow_pgmq.core.dedup import OnDuplicate
from airflow_pgmq.core.send_results import SendResult
from airflow_pgmq.db.client import Client, Connection
from airflow_pgmq.errors import InvalidArgument
from airflow_pgmq.services import sending

#: Seconds between two lines of progress.
INTERVAL = 10.0

_log = logging.getLogger(__name__)


def send(
    client: Client,
    queue_name: str,
    batches: Iterable[Batch],
    *,
    on_duplicate: OnDuplicate = "skip",
    conn: Connection | None = None,
    tell: Callable[[Sequence[SendResult]], object] = lambda results: None,
    clock: Callable[[], float] = time.monotonic,
    **options: Any,
) -> dict[str, int]:
    """Send batch by batch, each committed by itself unless `conn` is given; what became of how many.

    :param tell: called with the results of each batch
    :param options: as for `sending.send`
    """
    if on_duplicate == "fail" and conn is None:
        raise InvalidArgument(
            "on_duplicate='fail' sends all or nothing, but an iterator is committed part by part: "
            "give a list, or conn=."
        )
    counts: Counter[str] = Counter()
    began = clock()
    due = began + INTERVAL
    for batch in batches:
        results = sending.send(client, queue_name, batch, on_duplicate=on_duplicate, conn=conn, **options)
        tell(results)
        counts.update(result.status for result in results)
        if (now := clock()) >= due:
            due = now + INTERVAL
            total, seconds = sum(counts.values()), now - began
            rate = total / seconds
            _log.info("Queue %s: %s messages in %.0f s (%.0f/s)", queue_name, f"{total:,}", seconds, rate)
    return {"sent": counts["sent"], "duplicates": counts["duplicate"], "replaced": counts["replaced"]}
