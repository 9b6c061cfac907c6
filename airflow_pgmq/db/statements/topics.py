"""Topics: bind them to queues, and see which queues a routing key reaches."""

from __future__ import annotations

from airflow_pgmq.core import names
from airflow_pgmq.core.messages import TopicBinding, TopicRoute
from airflow_pgmq.db import refusals
from airflow_pgmq.db.statements import Flow, Statement, many, on_queue, queues, scalar
from airflow_pgmq.errors import InvalidName, QueueNotFound

_ERRORS = {
    refusals.RAISE_EXCEPTION: refusals.raised_by_pgmq(InvalidName),
    **refusals.needs("1.11.0"),
}


def bind(pattern: str, queue_name: str) -> Statement[None]:
    """Route messages whose key matches the pattern to the queue."""
    return on_queue("bind_topic", queue_name, errors=_ERRORS, pattern=pattern)


def bind_if_there(pattern: str, queue_name: str) -> Flow[None]:
    """`bind` with an error of its own for a missing queue."""
    if (yield queues.missing([names.queue(queue_name)])):
        raise QueueNotFound(queue_name)
    yield bind(pattern, queue_name)


def unbind(pattern: str, queue_name: str) -> Statement[bool]:
    """Undo a binding; False if there was none."""
    return on_queue("unbind_topic", queue_name, scalar("unbound"), errors=_ERRORS, pattern=pattern)


def bindings(queue_name: str | None = None) -> Statement[list[TopicBinding]]:
    """The bindings of one queue, or all of them."""
    return Statement("topics", {"queue_name": queue_name}, decode=many(TopicBinding.from_row), errors=_ERRORS)


def routes(routing_key: str) -> Statement[list[TopicRoute]]:
    """The bindings that a routing key matches, by queue."""
    return Statement("routes", {"routing_key": routing_key}, decode=many(TopicRoute.from_row), errors=_ERRORS)


def validate_routing_key(routing_key: str) -> Statement[None]:
    """Refuse what is no routing key."""
    return Statement("validate_routing_key", {"routing_key": routing_key}, errors=_ERRORS)


def validate_pattern(pattern: str) -> Statement[None]:
    """Refuse what is no pattern."""
    return Statement("validate_topic_pattern", {"pattern": pattern}, errors=_ERRORS)
