"""Queues that are paused: who did it, when, and why."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

from airflow_pgmq.core.messages import Row
from airflow_pgmq.errors import InvalidArgument

#: Characters of a reason: it is shown on one line.
MAX_REASON = 500


def check_reason(reason: str) -> str:
    """Check a reason, which may be empty."""
    if not isinstance(reason, str) or len(reason) > MAX_REASON:
        raise InvalidArgument(f"The reason of a pause is a text of at most {MAX_REASON} characters.")
    return reason


@dataclass(frozen=True, slots=True)
class PausedQueue:
    """A queue that our consumers do not read."""

    queue_name: str
    paused_at: datetime
    paused_by: str
    #: Empty if none was given.
    reason: str

    @classmethod
    def from_row(cls, row: Row) -> PausedQueue:
        """Take the columns by name."""
        return cls(row["queue_name"], row["paused_at"], row["paused_by"], row["reason"])

    def as_dict(self) -> dict[str, Any]:
        """Without the queue's name, for JSON."""
        return {name: value for name, value in asdict(self).items() if name != "queue_name"}

    def __str__(self) -> str:
        return f"paused {said(self.paused_by, self.paused_at, self.reason)}"


def said(paused_by: str, paused_at: datetime, reason: str) -> str:
    """By whom a queue is paused, since when and why, for people."""
    return f"by {paused_by} since {paused_at:%Y-%m-%d %H:%M} UTC" + (f": {reason}" if reason else "")
