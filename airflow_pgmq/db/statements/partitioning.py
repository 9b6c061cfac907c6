"""Archives in partitions, which pg_partman makes and drops."""

from __future__ import annotations

from airflow_pgmq.core import names
from airflow_pgmq.db import refusals
from airflow_pgmq.db.statements import Flow, first, on_queue, queues
from airflow_pgmq.errors import FeatureMissing, QueueNotFound


def convert_archive(
    queue_name: str, partition_interval: str, retention_interval: str, leading_partition: int
) -> Flow[bool]:
    """Give a queue a partitioned archive; False if it has one.

    PGMQ's function does nothing for a queue that is not there, and has no text for a missing pg_partman.
    """
    yield queues.lock(queue_name)
    relation = names.quoted(*names.table(queue_name, "a"))
    archive = yield on_queue("archive_kind", queue_name, first, relation=relation)
    if archive is None:
        raise QueueNotFound(queue_name)
    if archive["partitioned"]:
        return False
    if not archive["has_partman"]:
        raise FeatureMissing(
            f"The archive of queue {queue_name!r} cannot be partitioned without pg_partman: "
            "CREATE EXTENSION pg_partman, where the server has it."
        )
    yield on_queue(
        "convert_archive",
        queue_name,
        errors={refusals.RAISE_EXCEPTION: refusals.raised_by_pgmq(FeatureMissing)},
        partition_interval=partition_interval,
        retention_interval=retention_interval,
        leading_partition=leading_partition,
    )
    return True
