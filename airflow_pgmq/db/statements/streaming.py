"""Reading messages into asset events."""

from __future__ import annotations

from airflow_pgmq.core.messages import Message
from airflow_pgmq.db.statements import Statement, reading


def read(
    queue_name: str, *, max_messages: int, visibility_timeout: int, calm: int
) -> Statement[list[Message]]:
    """Read visible messages, oldest first; fewer if the oldest was read `calm` times or more before."""
    return reading.messages(
        "read_for_events",
        queue_name,
        max_messages=max_messages,
        visibility_timeout=visibility_timeout,
        calm=calm,
    )
