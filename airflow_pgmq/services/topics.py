"""Sending to the queues that are bound to a routing key."""

from __future__ import annotations

from datetime import timedelta

from airflow_pgmq.core.batch import Batch
from airflow_pgmq.core.dedup import DEDUP_WINDOW, OnDuplicate, Scope
from airflow_pgmq.core.send_results import SendResult
from airflow_pgmq.db.client import Client, Connection
from airflow_pgmq.db.statements import Flow, queues, topics
from airflow_pgmq.services import sending


def send(
    client: Client,
    routing_key: str,
    batch: Batch,
    *,
    scope: Scope = "once",
    on_duplicate: OnDuplicate = "skip",
    window: timedelta = DEDUP_WINDOW,
    conn: Connection | None = None,
) -> dict[str, list[SendResult]]:
    """Send a batch to each queue that is bound to the key, all in one transaction; results by queue.

    PGMQ's `send_topic` knows no keys and no instants, and its `send_batch_topic` one delay for all messages.
    So PGMQ says which queues they are, and each gets the batch as by `sending.send`.
    """
    sending.check(scope, on_duplicate, window)
    is_once = batch.keys is not None and scope == "once"

    def work() -> Flow[dict[str, list[SendResult]]]:
        routes = yield topics.routes(routing_key)
        # In the order of their names: two such sends cannot deadlock.
        queue_names = sorted({route.queue_name for route in routes})
        if batch.keys is not None and scope == "queued":
            # Before anything is sent, because to build an index waits for other senders.
            for queue_name in queue_names:
                yield from queues.guard(queue_name)
        found: dict[str, list[SendResult]] = {}
        for queue_name in queue_names:
            found[queue_name] = yield from sending.whole(
                queue_name, batch, scope=scope, on_duplicate=on_duplicate, window=window
            )
        return found

    with client.connection(conn) as current:
        if is_once:
            client.ensure_schema(current)
        if conn is not None:
            return client.run(work, conn)
        # If its answer is lost, what was sent the first time is a duplicate.
        found = client.attempt(work, current, is_repeatable=is_once and on_duplicate == "skip")
        results = [result for each in found.values() for result in each]
        if is_once and (pages := sending.pages_to_prune(results)):
            sending.prune(client, pages, current)
    return found
