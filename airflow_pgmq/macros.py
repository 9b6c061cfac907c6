"""Macros for templates, such as `{{ macros.pgmq.run_key(dag_run) }}`; also usable in Python code."""

from __future__ import annotations

from datetime import timezone
from typing import Any

__all__ = ["run_key"]


def run_key(dag_run: Any) -> str:
    """A part of a dedup key that identifies a run: by its slot, or by its id if it has no slot.

    Retries and clears of a run have the same key. So do a scheduled run and a backfill run of the same slot,
    even if one was deleted. Each run that was started by hand or by another trigger has its own key.

    :param dag_run: the variable `dag_run` of templates, `context["dag_run"]` in Python
    """
    run_id = str(dag_run.run_id)
    if not run_id.startswith(("scheduled__", "backfill__")):
        # Not the run_type: a backfill that repeats a run changes it.
        return run_id
    if dag_run.run_type not in ("scheduled", "backfill"):
        # The user who starts a run may choose its id; that must not result in the key of a slot.
        return f"run__{run_id}"
    if dag_run.logical_date is not None:
        return f"scheduled__{dag_run.logical_date.astimezone(timezone.utc).isoformat()}"
    # New in Airflow 3.2: a run of a partition has no logical date, and its id has a random part.
    partition = getattr(dag_run, "partition_key", None)
    return run_id if partition is None else f"scheduled__{partition}"
