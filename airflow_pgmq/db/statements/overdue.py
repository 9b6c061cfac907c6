"""Slots that are overdue, and which of them were told."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

from airflow_pgmq.core.messages import Row
from airflow_pgmq.core.overdue import OverdueSlot
from airflow_pgmq.db.statements import Statement


def found(namespace: str | None) -> Statement[list[Row]]:
    """The fields of each `OverdueSlot`; where it is a guess, the job's `definition`; and the time, `now`."""
    return Statement("overdue_slots", {"namespace": namespace}, decode=list)


def note(late: Sequence[OverdueSlot], now: datetime) -> Statement[set[tuple[str, str, datetime]]]:
    """Note these slots as told; returns namespace, job and instant of those that nobody had noted."""
    params = {
        "namespaces": [each.namespace for each in late],
        "names": [each.name for each in late],
        "slots": [each.slot for each in late],
        "now": now,
    }
    return Statement(
        "note_overdue",
        params,
        decode=lambda rows: {(row["namespace"], row["name"], row["slot"]) for row in rows},
    )


def silent(max_age: timedelta) -> Statement[list[Row]]:
    """Each `namespace` with jobs that are not paused that was not ticked for so long, and its `ticked_at`."""
    return Statement("silent_namespaces", {"max_age": max_age}, decode=list)
