"""Queues in Airflow's metrics (StatsD, Datadog, OpenTelemetry).

What each means is in docs/production/metrics.md.

Where the exporter supports tags, the queue is a tag. Plain StatsD drops tags, so there the metric's name ends
with the queue. Without an exporter nothing is done; an exporter's error is logged and does not fail the task.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Iterable, Mapping
from typing import Any, Literal

from airflow_pgmq import compat, settings
from airflow_pgmq.db.client import Client
from airflow_pgmq.services import overview

log = logging.getLogger(__name__)

#: Measured for each queue, from `services.overview`.
GAUGES = ("length", "visible", "in_flight", "delayed", "oldest_age", "dead_letters")
#: Of each namespace.
OF_NAMESPACES = ("overdue", "slot_lateness")
COUNTERS = ("sent", "duplicates", "acked", "dead_lettered")
#: In milliseconds.
TIMINGS = ("wake_up", "slot_lateness")

_ODD = re.compile(r"[^A-Za-z0-9_-]")

_Kind = Literal["incr", "gauge", "timing"]


def queues(rows: Iterable[Mapping[str, Any]]) -> None:
    """Report how full and how old queues are; unknown counts are left out."""
    for row in rows:
        empty = row["length"] == 0
        for name in GAUGES:
            value = 0 if empty and name == "oldest_age" else row[name]
            if value is not None:
                _emit("gauge", name, value, queue=row["queue_name"])


def count_queues(client: Client) -> None:
    """Count all queues and report how full and how old they are, if an exporter is configured."""
    if settings.metrics() is None:
        return
    try:
        queues(overview.queues(client)["queues"])
    except Exception:
        log.warning("The metrics of queues were not sent", exc_info=True)


def sent(queue_name: str, sent: int = 0, duplicates: int = 0) -> None:
    """Count messages that were sent, and duplicates that were not."""
    if settings.metrics() is None:
        return
    _count("sent", sent, queue_name)
    _count("duplicates", duplicates, queue_name)


def settled(queue_name: str, *, acked: int = 0, dead: int = 0) -> None:
    """Count messages that left a queue: acked, or dead-lettered."""
    _count("acked", acked, queue_name)
    _count("dead_lettered", dead, queue_name)


def woken(queue_name: str, seconds: float | None, waited: float) -> None:
    """Report how long after a message became visible a waiter was woken; not if it was visible before.

    `seconds` is None if a notification announced the message: then the database was not asked for its age.
    """
    if seconds is not None and seconds <= waited:
        _emit("timing", "wake_up", seconds * 1000, queue=queue_name)


def ticked(namespace: str, seconds: float) -> None:
    """Report a tick and by how many seconds its latest message was late; 0: none was late."""
    _emit("timing", "slot_lateness", seconds * 1000, namespace=namespace)


def overdue(namespace: str, count: int) -> None:
    """Report how many slots of a namespace are overdue."""
    _emit("gauge", "overdue", count, namespace=namespace)


def _count(name: str, count: int, queue_name: str) -> None:
    if count:
        _emit("incr", name, count, queue=queue_name)


def _emit(kind: _Kind, name: str, value: float, **tag: str) -> None:
    exporter = settings.metrics()
    if exporter is None:
        return
    ((key, of),) = tag.items()
    # A dot would add another level to the name.
    of = _ODD.sub("_", of)
    try:
        emit = getattr(compat.stats(), kind)
        if exporter == "tags":
            emit(f"pgmq.{name}", value, tags={key: of})
        else:
            emit(f"pgmq.{name}.{of}", value)
    except Exception:
        log.warning("The metric pgmq.%s was not sent", name, exc_info=True)
