"""Queues: create, drop, list, count, announce, route."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from airflow_pgmq.core import names
from airflow_pgmq.core.messages import Queue, QueueMetrics, TopicBinding
from airflow_pgmq.errors import GuardMissing, InvalidName, QueueNotFound
from airflow_pgmq.statements import Flow, Statement, column, first, many, on_queue, scalar


def create(
    queue_name: str, *, unlogged: bool, partition_interval: str | None, retention_interval: str, notify: bool
) -> Flow[None]:
    """Create a queue if it is missing; one that is there stays as it is."""
    names.new_queue(queue_name)
    if unlogged and partition_interval is not None:
        raise InvalidName(f"Queue {queue_name!r} cannot be unlogged and partitioned at once.")
    if partition_interval is not None:
        yield on_queue(
            "create_partitioned",
            queue_name,
            partition_interval=str(partition_interval),
            retention_interval=str(retention_interval),
        )
    else:
        yield on_queue("create_unlogged" if unlogged else "create_queue", queue_name)
    if notify:
        yield from enable_notify(queue_name)


def drop(queue_name: str) -> Flow[bool]:
    """Drop queue and archive; False if there was no such queue. Its keys were those of this incarnation."""
    known = yield Statement(
        "missing_queues", {"queue_names": [names.queue(queue_name)]}, decode=column("queue_name")
    )
    if known:
        return False
    dropped = yield on_queue("drop_queue", queue_name, scalar("dropped"))
    return dropped is not False


def list_all() -> Statement[list[Queue]]:
    """All queues by name."""
    return Statement("list_queues", decode=many(Queue.from_row))


def missing(queue_names: Iterable[str]) -> Statement[list[str]]:
    """Those of the queues that do not exist."""
    return Statement("missing_queues", {"queue_names": sorted(set(queue_names))}, decode=column("queue_name"))


def metrics(queue_name: str) -> Statement[QueueMetrics]:
    """PGMQ's counts of one queue."""
    return on_queue("metrics", queue_name, lambda rows: QueueMetrics.from_row(rows[0]))


def metrics_all() -> Statement[list[QueueMetrics]]:
    """PGMQ's counts of all queues."""
    return Statement("metrics_all", decode=many(QueueMetrics.from_row))


def purge(queue_name: str) -> Statement[int]:
    """Remove every message, in-flight ones too."""
    return on_queue("purge", queue_name, scalar("purged"))


def enable_notify(queue_name: str) -> Flow[bool]:
    """Put our statement trigger on the queue; False if it was there. Under PGMQ's lock: racers deadlock."""
    yield on_queue("queue_lock", queue_name)
    table = names.quoted(*names.table(queue_name))
    present = yield on_queue("has_trigger", queue_name, scalar("present"), table=table)
    if not present:
        yield on_queue("enable_notify", queue_name)
    return not present


def disable_notify(queue_name: str) -> Statement[None]:
    """Take our trigger off the queue."""
    return on_queue("disable_notify", queue_name)


def guard(queue_name: str) -> Flow[bool]:
    """Make sure that the unique index of `dedup_scope="queued"` stands; True if it was built now."""
    state = yield from _guard_state(queue_name)
    if state["valid"]:
        return False
    yield on_queue("queue_lock", queue_name)
    state = yield from _guard_state(queue_name)
    if state["valid"]:
        return False
    index = names.dedup_index(queue_name)
    if state["present"]:
        yield Statement("drop_guard", identifiers={"index": ("pgmq", index)}, queue_name=queue_name)
    yield Statement(
        "create_guard",
        identifiers={"index_name": (index,), "table": names.table(queue_name)},
        queue_name=queue_name,
    )
    return True


def _guard_state(queue_name: str) -> Flow[Mapping[str, Any]]:
    schema, table = names.table(queue_name)
    state = yield on_queue(
        "guard_state",
        queue_name,
        first,
        table=names.quoted(schema, table),
        index=names.quoted(schema, names.dedup_index(queue_name)),
    )
    if state is None:
        raise QueueNotFound(queue_name)
    if state["partitioned"]:
        raise GuardMissing(
            f"Queue {queue_name!r} is partitioned: Postgres cannot enforce dedup_scope='queued' there. "
            "Use dedup_scope='once'."
        )
    found: Mapping[str, Any] = state
    return found


def bind_topic(pattern: str, queue_name: str) -> Statement[None]:
    """Route messages whose key matches the pattern to the queue."""
    return on_queue("bind_topic", queue_name, pattern=pattern)


def bind_if_there(pattern: str, queue_name: str) -> Flow[None]:
    """`bind_topic` that tells a missing queue apart from a pattern that PGMQ does not take."""
    if (yield missing([names.queue(queue_name)])):
        raise QueueNotFound(queue_name)
    yield bind_topic(pattern, queue_name)


def unbind_topic(pattern: str, queue_name: str) -> Statement[bool]:
    """Undo a binding; False if there was none."""
    return on_queue("unbind_topic", queue_name, scalar("unbound"), pattern=pattern)


def topics() -> Statement[list[TopicBinding]]:
    """All bindings."""
    return Statement("topics", decode=many(TopicBinding.from_row))
