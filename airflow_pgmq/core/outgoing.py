"""Slots of periodic jobs → the batches that enqueue them, a queue at a time."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from airflow_pgmq.core import payload, slots
from airflow_pgmq.core.batch import Batch
from airflow_pgmq.core.jobs import PeriodicJob


@dataclass(frozen=True, slots=True)
class Outgoing:
    """One slot's message, with what the summary needs to know of it."""

    job: PeriodicJob
    slot: datetime
    key: str
    visible_at: datetime
    headers: str


def outgoing(job: PeriodicJob, slot: datetime, namespace: str, source: Mapping[str, Any] | None) -> Outgoing:
    """The message of one slot; only its `source` says who made it."""
    key = slots.key(namespace, job.name, slot)
    visible_at = slots.visible_at(job, slot, key)
    headers: dict[str, Any] = {**(job.headers or {}), "job": job.name, "namespace": namespace}
    headers |= {"slot": slots.text(slot), "version": job.version}
    if job.ttl is not None:
        headers["expires_at"] = (visible_at + job.ttl).isoformat()
    if job.group is not None:
        headers["x-pgmq-group"] = job.group
    if source is not None:
        headers["source"] = source
    return Outgoing(job, slot, key, visible_at, payload.dumps_headers(headers))


def batches(items: Iterable[Outgoing]) -> dict[str, Batch]:
    """Messages by queue, each queue's oldest slot first, so that ids follow time."""
    by_queue: dict[str, list[Outgoing]] = defaultdict(list)
    for item in items:
        by_queue[item.job.queue_name].append(item)
    return {queue_name: _batch(found) for queue_name, found in sorted(by_queue.items())}


def _batch(items: list[Outgoing]) -> Batch:
    items.sort(key=lambda item: (item.visible_at, item.key))
    return Batch(
        [item.job.message_json for item in items],
        headers=[item.headers for item in items],
        keys=[item.key for item in items],
        instants=[item.visible_at for item in items],
    )
