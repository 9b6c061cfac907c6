"""PGMQ's own reads by groups, and their index. `groups` has those that are safe among several readers."""

from __future__ import annotations

from typing import Any

from airflow_pgmq.core.messages import Message
from airflow_pgmq.db import refusals
from airflow_pgmq.db.statements import Flow, Statement, on_queue, queues, reading


def create_index(queue_name: str) -> Flow[None]:
    """PGMQ's index on the headers, if it is missing; its lock avoids that two make it at once."""
    yield queues.lock(queue_name)
    yield on_queue("create_fifo_index", queue_name, errors=refusals.needs("1.9.0"))


def create_indexes() -> Statement[None]:
    """The same of all queues."""
    return Statement("create_fifo_indexes_all", errors=refusals.needs("1.9.0"))


def read_grouped(queue_name: str, **options: Any) -> Statement[list[Message]]:
    """Read as many messages of one group as possible, then of the next one.

    :param options: `max_messages` and `visibility_timeout`, as of all three
    """
    return reading.messages(
        "read_grouped",
        queue_name,
        errors=refusals.needs("1.9.0"),
        **_checked(**options),
    )


def read_grouped_rr(queue_name: str, **options: Any) -> Statement[list[Message]]:
    """Read a message of each group, then a second one of each; in the order in which PGMQ chose them."""
    return on_queue(
        "read_grouped_rr",
        queue_name,
        list[Message],
        rows=Message.maker,
        errors=refusals.needs("1.9.0"),
        **_checked(**options),
    )


def read_grouped_head(queue_name: str, **options: Any) -> Statement[list[Message]]:
    """Read the oldest message of each group, if it is visible."""
    return reading.messages(
        "read_grouped_head",
        queue_name,
        errors=refusals.needs("1.11.1"),
        **_checked(**options),
    )


def _checked(*, max_messages: int, visibility_timeout: int) -> dict[str, Any]:
    return {"max_messages": reading.at_most(max_messages), "visibility_timeout": visibility_timeout}
