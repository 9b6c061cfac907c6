"""Jobs that are to be paused, because messages of their slots became dead letters."""

from __future__ import annotations

from airflow_pgmq.core.messages import Row
from airflow_pgmq.db.statements import Statement


def found(namespace: str) -> Statement[list[Row]]:
    """The fields of each `DeadSlots`; `name` is None if this role may not read the dead letter queue."""
    return Statement("dead_slots", {"namespace": namespace}, decode=list)
