"""Pausing queues. The statements that read ask for it themselves: the fragment `may_read`."""

from __future__ import annotations

from airflow_pgmq.core import names
from airflow_pgmq.core.messages import Row
from airflow_pgmq.core.pauses import PausedQueue, check_reason
from airflow_pgmq.db.statements import Flow, Statement, many, on_queue, only
from airflow_pgmq.db.statements.watching import PAUSED
from airflow_pgmq.errors import QueueNotFound


def pause(queue_name: str, reason: str, paused_by: str) -> Flow[bool]:
    """Pause a queue and tell its waiters; False if it was paused already, which stays as it was."""
    change = on_queue(
        "pause_queue",
        queue_name,
        only,
        reason=check_reason(reason),
        paused_by=paused_by,
        channel=names.channel(queue_name),
        payload=PAUSED,
    )
    return (yield from _done(change))


def resume(queue_name: str) -> Flow[bool]:
    """Let a queue be read again and wake its waiters; False if it was not paused."""
    change = on_queue("resume_queue", queue_name, only, channel=names.channel(queue_name))
    return (yield from _done(change))


def paused() -> Statement[list[PausedQueue]]:
    """All queues that are paused, by name."""
    return Statement("paused_queues", decode=many(PausedQueue.from_row))


def _done(change: Statement[Row]) -> Flow[bool]:
    row = yield change
    if not row["found"]:
        raise QueueNotFound(change.queue_name or "")
    return bool(row["done"])
