"""Queues: create, drop, list, count, notify trigger, guard."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, TypeVar

from airflow_pgmq.core import names
from airflow_pgmq.core.messages import Queue, QueueMetrics, Row
from airflow_pgmq.db import refusals
from airflow_pgmq.db.refusals import Refusal
from airflow_pgmq.db.statements import (
    Flow,
    Statement,
    Work,
    as_text,
    first,
    many,
    on_queue,
    scalar,
    union,
)
from airflow_pgmq.errors import FeatureMissing, GuardMissing, InvalidArgument, QueueNotFound

T = TypeVar("T")


def create(
    queue_name: str,
    *,
    unlogged: bool = False,
    partition_interval: str | int | None = None,
    retention_interval: str | int = 100_000,
    premake: int | None = None,
    notify: bool = False,
) -> Flow[bool]:
    """Create a queue, or what is missing of it; the rest stays as it is. True if something was made.

    It holds PGMQ's own lock, which its functions take only since 1.6: calls for one queue take turns.

    :param notify: needs the schema airflow_pgmq, which has the trigger's function
    """
    names.queue(queue_name)
    if unlogged and partition_interval is not None:
        raise InvalidArgument(f"Queue {queue_name!r} cannot be unlogged and partitioned at once.")
    if premake is not None and (partition_interval is None or premake < 1):
        raise InvalidArgument(
            f"premake={premake} of queue {queue_name!r} is how many partitions are made ahead: at least 1, "
            "and only with partition_interval."
        )
    lacks = yield _incomplete([queue_name], first)
    if lacks:
        if not lacks["listed"]:
            names.new_queue(queue_name)
        yield lock(queue_name)
        # Another client may have made it meanwhile.
        lacks = yield _incomplete([queue_name], first)
    if lacks:
        yield on_queue(
            "create_arguments",
            queue_name,
            unlogged=unlogged,
            partition_interval=None if partition_interval is None else str(partition_interval),
            retention_interval=str(retention_interval),
            premake=premake,
        )
        refused = {
            refusals.RAISE_EXCEPTION: refusals.raised_by_pgmq(FeatureMissing),
            **(refusals.needs("1.13.0") if premake is not None else {}),
        }
        yield on_queue("create_queue", queue_name, errors=refused)
    if notify:
        yield from enable_notify(queue_name)
    return lacks is not None


def drop(queue_name: str) -> Flow[bool]:
    """Drop queue and archive; False if there was none. Its dedup keys are then free, its pause is over."""
    lacks = yield _incomplete([names.queue(queue_name)], first)
    if lacks is not None and not lacks["listed"]:
        return False
    dropped = yield on_queue("drop_queue", queue_name, scalar("dropped"))
    if dropped is False:
        # PGMQ keeps a queue without a table in its list.
        archive = {"archive": names.table(queue_name, "a")}
        yield Statement("drop_archive", identifiers=archive, queue_name=queue_name)
        yield on_queue("unlist_queue", queue_name)
    return True


def lock(queue_name: str) -> Statement[None]:
    """PGMQ's own lock for changes of a queue's tables, until the transaction ends."""
    return on_queue("queue_lock", queue_name)


def list_all() -> Statement[list[Queue]]:
    """All queues by name."""
    return Statement("list_queues", decode=many(Queue.from_row))


def missing(queue_names: Iterable[str]) -> Statement[list[str]]:
    """Those of the queues that do not exist: that PGMQ does not list, or that have no table."""

    def decode(rows: Sequence[Row]) -> list[str]:
        return [row["queue_name"] for row in rows if not (row["listed"] and row["has_table"])]

    return _incomplete(queue_names, decode)


def _incomplete(queue_names: Iterable[str], decode: Callable[[Sequence[Row]], T]) -> Statement[T]:
    return Statement("incomplete_queues", {"queue_names": sorted(set(queue_names))}, decode=decode)


def metrics(queue_name: str) -> Statement[QueueMetrics]:
    """PGMQ's counts of one queue."""
    return _metrics(queue_name, lambda rows: QueueMetrics.from_row(rows[0]))


def metrics_of(queue_names: Iterable[str]) -> Statement[list[QueueMetrics]]:
    """PGMQ's counts of many queues."""
    parts = [_metrics(name, many(QueueMetrics.from_row)) for name in queue_names]
    return union(parts, many(QueueMetrics.from_row))


def _metrics(queue_name: str, decode: Callable[[Sequence[Row]], T]) -> Statement[T]:
    schema, table = names.table(queue_name)
    identifiers = {"table": (schema, table), "sequence": (schema, f"{table}_msg_id_seq")}
    params = {
        "queue_name": queue_name,
        "relation": names.quoted(schema, table),
        "archive_relation": names.quoted(*names.table(queue_name, "a")),
    }
    return Statement("metrics", params, identifiers, decode, queue_name)


def purge(queue_name: str, *, with_slots: bool) -> Work[int]:
    """Remove every message, in-flight ones too; returns how many.

    :param with_slots: also slots of periodic jobs that wait for their time: they are not sent again
    """
    all_of_it = on_queue("purge", queue_name, scalar("purged"))
    return all_of_it if with_slots else _purge_all_but_slots(queue_name, all_of_it)


def has_headers(table: tuple[str, str]) -> Statement[bool]:
    """Whether there is such a table with headers."""
    return Statement("has_headers", {"relation": names.quoted(*table)}, decode=scalar("found"))


def _purge_all_but_slots(queue_name: str, all_of_it: Statement[int]) -> Flow[int]:
    # Without headers, it has no message of ours.
    if not (yield has_headers(names.table(queue_name))):
        count: int = yield all_of_it
        return count
    # PGMQ truncates the table, which is fast; a tick must not send in between.
    yield on_queue("lock_to_purge", queue_name)
    if not (yield on_queue("has_slots", queue_name, scalar("found"))):
        count = yield all_of_it
        return count
    yield on_queue("keep_slots", queue_name)
    purged: int = yield all_of_it
    kept: int = yield on_queue("put_slots_back", queue_name, scalar("kept"))
    yield Statement("drop_kept")
    return purged - kept


def enable_notify(queue_name: str) -> Flow[bool]:
    """Add our statement trigger to the queue; False if it exists. PGMQ's lock avoids deadlocks."""
    yield lock(queue_name)
    table = names.quoted(*names.table(queue_name))
    present = yield on_queue("has_trigger", queue_name, scalar("present"), table=table)
    if not present:
        yield create_trigger(queue_name)
    return not present


def create_trigger(queue_name: str) -> Statement[None]:
    """Our statement trigger, as a command of its own."""
    return on_queue("enable_notify", queue_name)


def disable_notify(queue_name: str) -> Statement[None]:
    """Remove our trigger from the queue."""
    return on_queue("disable_notify", queue_name)


def guard(queue_name: str) -> Flow[bool]:
    """Make sure that the unique index of `dedup_scope="queued"` exists; True if it was built now."""
    return (yield from build_index(create_guard(queue_name), lambda: _guard_state(queue_name)))


def build_index(create: Statement[None], look: Callable[[], Flow[Mapping[str, Any]]]) -> Flow[bool]:
    """Build an index unless a valid one is there; False if it is.

    :param create: with the index's name as `index_name`; its errors are those of dropping an invalid one, too
    :param look: whether an index of this name is `present`, and `valid`
    """
    queue_name, (name,) = create.queue_name or "", create.identifiers["index_name"]
    if (yield from look())["valid"]:
        return False
    yield lock(queue_name)
    # Another client may have built it meanwhile.
    state = yield from look()
    if state["valid"]:
        return False
    if state["present"]:
        index = {"index": (names.table(queue_name)[0], name)}
        yield Statement("drop_index", identifiers=index, queue_name=queue_name, errors=create.errors)
    yield create
    return True


def create_guard(queue_name: str) -> Statement[None]:
    """The unique index, as a command of its own."""
    return Statement(
        "create_guard",
        identifiers={"index_name": (names.dedup_index(queue_name),), "table": names.table(queue_name)},
        queue_name=queue_name,
        errors={
            refusals.INSUFFICIENT_PRIVILEGE: _not_the_owner,
            refusals.UNIQUE_VIOLATION: _has_equal_keys,
        },
    )


def _not_the_owner(statement: Statement[Any], refusal: Refusal) -> GuardMissing:
    return GuardMissing(
        "dedup_scope='queued' needs a unique index that only the owner of the queue's table can make "
        f"({refusal.text}): {as_text(statement)}"
    )


def _has_equal_keys(statement: Statement[Any], refusal: Refusal) -> GuardMissing:
    return GuardMissing(
        f"Queue {statement.queue_name!r} holds messages with the same dedup key ({refusal.detail}), so the "
        "unique index cannot be built. Consume or cancel all but one of them, then try again."
    )


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
