"""Following a queue's messages without a read."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from airflow_pgmq.core import names
from airflow_pgmq.core.messages import Row
from airflow_pgmq.db.statements import Flow, Statement, only
from airflow_pgmq.db.statements.inspection import MOST_BYTES

#: Messages of one look.
PAGE = 500
#: Ids below the highest one that are looked through at the start.
GAP = 100


@dataclass(frozen=True, slots=True)
class Looked:
    """What a look found."""

    rows: Sequence[Row]
    #: When the queue was made, and whether it announces its messages; None if it was not asked.
    made_at: datetime | None = None
    announced: bool | None = None


def start(queue_name: str, last: int = 0) -> Statement[Row]:
    """Where a tail begins: `newest`, `missing`, `first_of_last`, `made_at`."""
    params = {"queue_name": queue_name, "gap": GAP, "last": last}
    return Statement("tail_start", params, _places(queue_name), only, queue_name)


def look(queue_name: str, *, after: int, archived_after: int, missing: Iterable[int]) -> Flow[Looked]:
    """What is above an id, in the archive above another one, and what is there of those that were missing.

    If there is nothing, also what the queue is now.
    """
    rows = yield _appeared(queue_name, after=after, archived_after=archived_after, missing=list(missing))
    if rows:
        return Looked(rows)
    queue = yield _queue(queue_name)
    return Looked([], queue["made_at"], queue["announced"])


def _appeared(queue_name: str, **params: Any) -> Statement[list[Row]]:
    params |= {"limit": PAGE, "peek": True, "most": MOST_BYTES, "alone": False}
    return Statement("appeared", params, _places(queue_name), list, queue_name)


def _queue(queue_name: str) -> Statement[Row]:
    params = {
        "queue_name": queue_name,
        "quoted_table": names.quoted(*names.table(queue_name)),
        "announcers": list(names.OF_INSERTS),
    }
    return Statement("tailed_queue", params, decode=only, queue_name=queue_name)


def _places(queue_name: str) -> dict[str, tuple[str, ...]]:
    return {"table": names.table(queue_name), "archive": names.table(queue_name, "a")}
