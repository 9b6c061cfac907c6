"""What page, command line and metrics show of queues: counts that stay cheap, rates, history."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, TypeAlias, TypeVar

from airflow_pgmq.core import counting, names
from airflow_pgmq.core.counting import How, Table
from airflow_pgmq.core.messages import Row
from airflow_pgmq.statements import Flow, Statement, on_queue, union

T = TypeVar("T")

#: Queues that one statement counts: it holds a lock on each table and its indexes, and one of 200 takes 1.3
#: times as long as four of 50.
AT_ONCE = 50
#: How long a lock on a table is waited for.
PATIENCE = "2s"

#: A queue and how it is counted.
Chosen: TypeAlias = tuple[Table, How]


def tables(queue_name: str | None = None) -> Statement[tuple[datetime, list[Table]]]:
    """All queues or one, as the catalogue knows them, and the time; unsafe names are left out."""
    fields = [field.name for field in dataclasses.fields(Table)]

    def decode(rows: Sequence[Row]) -> tuple[datetime, list[Table]]:
        # Without any queue, one row says what time it is.
        found = [
            Table(**{name: row[name] for name in fields}) for row in rows if names.is_safe(row["queue_name"])
        ]
        return rows[0]["now"], found

    return Statement("queue_tables", {"queue_name": queue_name}, decode=decode)


def batches(chosen: Iterable[Chosen]) -> list[list[Chosen]]:
    """The queues that are to be looked at, as many together as one statement counts."""
    looked_at = [(table, how) for table, how in chosen if how not in ("empty", "unknown")]
    return [looked_at[start : start + AT_ONCE] for start in range(0, len(looked_at), AT_ONCE)]


def counts(batch: Sequence[Chosen]) -> Statement[dict[str, Row]]:
    """Count the queues of a batch, by name."""
    parts = [_count(table, how) for table, how in batch]
    return union(parts, lambda rows: {row["queue_name"]: row for row in rows})


def _count(table: Table, how: How) -> Statement[Any]:
    if how == "all":
        return on_queue("count_all", table.queue_name)
    if how == "index":
        return on_queue("count_by_index", table.queue_name, most=counting.MOST)
    clean = table.dead <= counting.FEW
    return on_queue("count_sample", table.queue_name, clean=clean, percent=counting.percent(table))


def briefly(statement: Statement[T], patience: str = PATIENCE) -> Flow[T]:
    """Run it, and give up soon where somebody holds a table for himself."""
    yield Statement("short_locks", {"wait": patience})
    answer: T = yield statement
    return answer


def recent_samples(queue_name: str | None = None) -> Statement[dict[str, Row]]:
    """The last hour of each queue."""
    return Statement(
        "recent_samples",
        {"queue_name": queue_name},
        decode=lambda rows: {row["queue_name"]: row for row in rows},
    )


def history(queue_name: str, *, span: timedelta, step: timedelta) -> Statement[list[Row]]:
    """A queue's samples, the last one of each step."""
    return Statement("sample_history", {"queue_name": queue_name, "span": span, "step": step}, decode=list)


def jobs_by_queue() -> Statement[Mapping[str, int]]:
    """How many periodic jobs send to each queue."""
    return Statement("jobs_by_queue", decode=lambda rows: {row["queue_name"]: row["jobs"] for row in rows})
