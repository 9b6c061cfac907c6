"""What page, command line and metrics show of queues: counts that stay cheap, rates, history."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, TypeAlias, TypeVar

from airflow_pgmq.core import names, queue_counts
from airflow_pgmq.core.messages import Row
from airflow_pgmq.core.pauses import PausedQueue
from airflow_pgmq.core.queue_counts import How, Shape, Table
from airflow_pgmq.db.statements import Flow, Statement, Work, union

T = TypeVar("T")

#: Queues that one statement counts: it locks each table and its indexes, and one of 200 takes 1.3 times as
#: long as four of 50.
AT_ONCE = 50
#: How long to wait for a lock on a table.
PATIENCE = "2s"

_PLAIN = [field.name for field in dataclasses.fields(Table) if field.name not in ("own", "archive", "paused")]

#: A queue and how it is counted.
Chosen: TypeAlias = tuple[Table, How]


@dataclass(frozen=True, slots=True)
class Catalogue:
    """What catalogue and statistics say of the queues."""

    now: datetime
    role: str
    tables: list[Table]
    #: Names that would not be safe in a statement.
    unusable: list[str]
    #: Other tables of PGMQ and ours whose rows row level security may hide.
    hidden: list[str]


def tables(queue_name: str | None = None) -> Statement[Catalogue]:
    """All queues or one in the catalogue, with whatever exists in place of their tables."""
    return Statement("queue_tables", {"queue_name": queue_name}, decode=_catalogue)


def _catalogue(rows: Sequence[Row]) -> Catalogue:
    # Without any queue, there is one row with the time.
    named = [row for row in rows if row["queue_name"] is not None]
    return Catalogue(
        rows[0]["now"],
        rows[0]["role"],
        [_table(row) for row in named if names.is_safe(row["queue_name"])],
        [row["queue_name"] for row in named if not names.is_safe(row["queue_name"])],
        rows[0]["hidden"],
    )


def _table(row: Row) -> Table:
    return Table(
        **{name: row[name] for name in _PLAIN},
        own=_shape(row, "own"),
        archive=_shape(row, "archive"),
        paused=None if row["paused_at"] is None else PausedQueue.from_row(row),
    )


def _shape(row: Row, what: str) -> Shape:
    return Shape(
        row[f"{what}_name"],
        row[f"{what}_kind"],
        tuple(row[f"{what}_lacks"]),
        row[f"{what}_readable"],
        row[f"{what}_hidden"],
    )


def batches(chosen: Iterable[Chosen]) -> list[list[Chosen]]:
    """The queues that must be read, in batches for one statement each."""
    looked_at = [(table, how) for table, how in chosen if how not in ("empty", "unknown")]
    return [looked_at[start : start + AT_ONCE] for start in range(0, len(looked_at), AT_ONCE)]


def counts(batch: Sequence[Chosen]) -> Statement[dict[str, Row]]:
    """Count the queues of a batch, by name; tables are named as in the catalogue."""
    parts = [_count(table, how) for table, how in batch]
    return union(parts, lambda rows: {row["queue_name"]: row for row in rows})


def _count(table: Table, how: How) -> Statement[Any]:
    params: dict[str, Any] = {"queue_name": table.queue_name}
    if how == "index":
        params["most"] = queue_counts.MOST
    elif how == "sample":
        params |= {"clean": table.dead <= queue_counts.FEW, "percent": queue_counts.percent(table)}
    return Statement(
        "count_all" if how == "all" else "count_by_index" if how == "index" else "count_sample",
        params,
        {"table": ("pgmq", table.own.name)},
        queue_name=table.queue_name,
    )


def archived(tables: Sequence[Table]) -> Statement[dict[str, int]]:
    """Count the archives of these queues, by the queue's name."""
    parts: list[Statement[Any]] = [
        Statement(
            "count_archive",
            {"queue_name": table.queue_name},
            {"table": ("pgmq", table.archive.name)},
            queue_name=table.queue_name,
        )
        for table in tables
    ]
    return union(parts, lambda rows: {row["queue_name"]: row["counted"] for row in rows})


def briefly(work: Work[T], patience: str = PATIENCE, limit: str | None = None) -> Flow[T]:
    """Run it, and give up soon if another session has locked a table exclusively, or if it takes long."""
    yield Statement("short_locks", {"wait": patience, "limit": limit}, is_limit=True)
    answer: T = (yield work) if isinstance(work, Statement) else (yield from work)
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
