"""Queues in Airflow's metrics (StatsD, Datadog, OpenTelemetry); docs/metrics.md says what each means.

Where the exporter carries tags, the queue is one. Plain StatsD drops tags, so there the queue ends the name.
Without an exporter nothing is done, and a fault of one is logged and breaks no task.
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

#: Of each queue, from what the read service says of it.
GAUGES = ("length", "visible", "in_flight", "delayed", "oldest_age", "dead_letters")
COUNTERS = ("sent", "duplicates", "acked", "dead_lettered")
#: In milliseconds.
TIMINGS = ("wake_up", "slot_lateness")

_ODD = re.compile(r"[^A-Za-z0-9_-]")

_Kind = Literal["incr", "gauge", "timing"]


def queues(rows: Iterable[Mapping[str, Any]]) -> None:
    """How full and how old queues are; unknown counts are left out."""
    for row in rows:
        empty = row["length"] == 0
        for name in GAUGES:
            value = 0 if empty and name == "oldest_age" else row[name]
            if value is not None:
                _emit("gauge", name, value, queue=row["queue_name"])


def look(client: Client) -> None:
    """How full and how old all queues are, if anybody wants to know."""
    if settings.metrics() is None:
        return
    try:
        queues(overview.queues(client)["queues"])
    except Exception:
        log.warning("The metrics of queues were not sent", exc_info=True)


def sent(queue_name: str, sent: int = 0, duplicates: int = 0) -> None:
    """Messages that were sent, and those that were not because their keys were taken."""
    _count("sent", sent, queue_name)
    _count("duplicates", duplicates, queue_name)


def settled(queue_name: str, *, acked: int = 0, dead: int = 0) -> None:
    """Messages that left a queue because their work was done, or failed for good."""
    _count("acked", acked, queue_name)
    _count("dead_lettered", dead, queue_name)


def woken(queue_name: str, seconds: float | None, waited: float) -> None:
    """A waiter was told of a message so long after it had become visible; not if it was there before him.

    None: it was announced as visible, so nobody asked the database how long it had been.
    """
    if seconds is not None and seconds <= waited:
        _emit("timing", "wake_up", seconds * 1000, queue=queue_name)


def ticked(namespace: str, seconds: float) -> None:
    """A tick ended; the latest of its messages was so late, 0: none was."""
    _emit("timing", "slot_lateness", seconds * 1000, namespace=namespace)


def _count(name: str, count: int, queue_name: str) -> None:
    if count:
        _emit("incr", name, count, queue=queue_name)


def _emit(kind: _Kind, name: str, value: float, **tag: str) -> None:
    exporter = settings.metrics()
    if exporter is None:
        return
    ((key, of),) = tag.items()
    # A dot would be one more level of the name.
    of = _ODD.sub("_", of)
    try:
        emit = getattr(compat.stats(), kind)
        if exporter == "tags":
            emit(f"pgmq.{name}", value, tags={key: of})
        else:
            emit(f"pgmq.{name}.{of}", value)
    except Exception:
        log.warning("The metric pgmq.%s was not sent", name, exc_info=True)
