"""PGMQ's own notify trigger. `queues.enable_notify` has the one that costs senders nothing."""

from __future__ import annotations

from airflow_pgmq.core.messages import NotifyThrottle
from airflow_pgmq.db import refusals
from airflow_pgmq.db.statements import Flow, Statement, many, on_queue, queues
from airflow_pgmq.errors import InvalidArgument, QueueNotFound

_REFUSED = {refusals.RAISE_EXCEPTION: refusals.raised_by_pgmq(InvalidArgument)}


def enable(queue_name: str, throttle_interval_ms: int) -> Flow[None]:
    """Add the trigger, or make it again; PGMQ's lock avoids that two callers do it at once."""
    yield queues.lock(queue_name)
    yield from _if_there(queue_name)
    yield on_queue(
        "enable_notify_insert",
        queue_name,
        errors={**_REFUSED, **refusals.needs("1.8.0")},
        throttle_interval_ms=throttle_interval_ms,
    )


def update(queue_name: str, throttle_interval_ms: int) -> Flow[None]:
    """Give it another interval."""
    yield from _if_there(queue_name)
    yield on_queue(
        "update_notify_insert",
        queue_name,
        errors={**_REFUSED, **refusals.needs("1.11.0")},
        throttle_interval_ms=throttle_interval_ms,
    )


def disable(queue_name: str) -> Statement[None]:
    """Remove it."""
    return on_queue("disable_notify_insert", queue_name, errors=refusals.needs("1.7.0"))


def throttles() -> Statement[list[NotifyThrottle]]:
    """The queues that have it, by name."""
    return Statement("throttles", decode=many(NotifyThrottle.from_row), errors=refusals.needs("1.11.0"))


def _if_there(queue_name: str) -> Flow[None]:
    if (yield queues.missing([queue_name])):
        raise QueueNotFound(queue_name)
