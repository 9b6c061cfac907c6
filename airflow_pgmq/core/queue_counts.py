"""How the messages of many queues are counted without reading much: exactly only where that is cheap."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal, TypeAlias

from airflow_pgmq.core.pauses import PausedQueue
from airflow_pgmq.core.problems import Problem

How: TypeAlias = Literal["empty", "all", "index", "sample", "unknown"]

#: Tables that are read whole may have this many bytes together, dead rows included; the smallest come first.
BUDGET = 16 * 1024 * 1024
#: A table that is large because rows were removed is read by its index while it holds no more than this.
FEW = 2_000
#: Most rows that are read by the index, if the statistics were wrong.
MOST = 10_000
#: An archive of at most this many bytes is counted; others are estimated, since archives are often largest.
SMALL_ARCHIVE = 128 * 1024
#: This many bytes of each other table are read.
SAMPLED = 512 * 1024


#: Columns without which a queue cannot be counted.
COUNTED = frozenset({"msg_id", "read_ct", "enqueued_at", "vt"})


@dataclass(frozen=True, slots=True)
class Shape:
    """What exists in place of a queue's table, or of its archive."""

    #: The table's name, as the database makes it from the queue's name.
    name: str
    #: `relkind` of what has that name; None: nothing has it.
    kind: str | None
    #: Columns of PGMQ that it lacks.
    lacks: tuple[str, ...]
    readable: bool
    #: Whether row level security may hide rows from the role.
    hidden: bool

    @property
    def is_table(self) -> bool:
        """Whether it is a table; views and foreign tables are not read, they may take any time."""
        return self.kind in ("r", "p")

    @property
    def countable(self) -> bool:
        """Whether the role can count what is in it."""
        return self.is_table and self.readable and COUNTED.isdisjoint(self.lacks)

    @property
    def whole(self) -> bool:
        """Whether it is as PGMQ makes it, and the role can read it."""
        return self.is_table and self.readable and not self.lacks


@dataclass(frozen=True, slots=True)
class Table:
    """A queue and what the server's catalogue and statistics say of its table and archive."""

    queue_name: str
    is_partitioned: bool
    is_unlogged: bool
    created_at: datetime
    own: Shape
    archive: Shape
    bytes: int
    #: Rows by the statistics, which are a second late and are lost in a crash.
    live: int
    #: Rows as the planner knows them from the last vacuum, which a crash does not lose.
    planned: int
    dead: int
    #: Rows that were ever inserted and removed.
    inserted: int
    deleted: int
    #: Messages in the archive by the statistics.
    archived: int
    #: None: the archive is not a plain table, or another session has locked it exclusively.
    archive_bytes: int | None
    #: An index with the name of the guard of `dedup_scope="queued"` exists but does not work.
    broken_guard: bool
    #: None: it is not paused, or the role may not see that.
    paused: PausedQueue | None = None

    @property
    def rows(self) -> int:
        """How many messages there probably are."""
        # Rows removed since the last vacuum would count as dead; fewer rows in all: the statistics were lost.
        return self.planned if self.live + self.dead < self.planned / 2 else self.live


@dataclass(frozen=True, slots=True)
class Counts:
    """A queue's messages by state; None: unknown."""

    length: int | None = None
    visible: int | None = None
    in_flight: int | None = None
    #: Seconds since the oldest message was enqueued.
    oldest_age: float | None = None
    #: Seconds since the first of the visible messages became visible.
    waiting: float | None = None
    estimated: bool = False
    #: Why nothing is known, if the catalogue does not show it.
    problem: Problem | None = None

    @property
    def delayed(self) -> int | None:
        """Messages that were never read and cannot be read yet."""
        if self.length is None or self.visible is None or self.in_flight is None:
            return None
        return max(0, self.length - self.visible - self.in_flight)


def choose(tables: Iterable[Table], budget: int = BUDGET) -> dict[str, How]:
    """How to count each queue."""
    chosen: dict[str, How] = {}
    for table in sorted(tables, key=lambda each: each.bytes):
        budget -= table.bytes if table.own.countable else 0
        if not table.own.countable:
            chosen[table.queue_name] = "unknown"
        elif not table.bytes and not table.is_partitioned:
            chosen[table.queue_name] = "empty"
        elif budget >= 0:
            chosen[table.queue_name] = "all"
        elif max(table.live + table.dead, table.planned) <= FEW and not table.is_partitioned:
            chosen[table.queue_name] = "index"
        else:
            chosen[table.queue_name] = "sample"
    return chosen


def small_archives(tables: Iterable[Table]) -> list[Table]:
    """The queues whose archive is counted: the role sees all of it, and it is read quickly."""
    return [
        table
        for table in tables
        if table.archive.readable and not table.archive.hidden and (table.archive_bytes is not None)
        if table.archive_bytes <= SMALL_ARCHIVE
    ]


def percent(table: Table) -> float:
    """The share of a table that a sample reads."""
    return min(100.0, 100 * SAMPLED / max(table.bytes, 1))


def counts(table: Table, how: How, row: Mapping[str, Any] | None, now: datetime) -> Counts:
    """What was counted; if that is only a part, its shares are applied to the statistics' length."""
    if how == "empty":
        return Counts(0, 0, 0)
    if how == "unknown" or row is None:
        return Counts()
    age = None if row["oldest"] is None else max(0.0, (now - row["oldest"]).total_seconds())
    since = row["first_vt"]
    waiting = (now - since).total_seconds() if since is not None and since <= now else None
    if how == "all" or (how == "index" and row["counted"] < MOST):
        return Counts(row["counted"], row["visible"], row["in_flight"], age, waiting)
    seen = row["counted"]
    length = table.rows if how == "sample" else max(table.rows, seen)
    if not seen:
        return Counts(length, oldest_age=age, waiting=waiting, estimated=True)
    visible = round(length * row["visible"] / seen)
    in_flight = min(length - visible, round(length * row["in_flight"] / seen))
    return Counts(length, visible, in_flight, age, waiting, estimated=True)
