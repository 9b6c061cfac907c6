"""Macros for templates: `{{ macros.pgmq.run_key(dag_run) }}`; functions for Python code, too."""

from __future__ import annotations

from datetime import timezone
from typing import Any

__all__ = ["run_key"]


def run_key(dag_run: Any) -> str:
    """What a run stands for, as part of a dedup key: its slot, or itself where it has none.

    Retries and clears of a run have the same key, and so have a scheduled run and a backfill run of the same
    slot, even if one was deleted. Runs that somebody or something else starts have each their own.

    :param dag_run: the variable `dag_run` of templates, `context["dag_run"]` in Python
    """
    run_id = str(dag_run.run_id)
    if not run_id.startswith(("scheduled__", "backfill__")):
        # Not its run_type: a backfill that repeats a run changes that.
        return run_id
    if dag_run.run_type not in ("scheduled", "backfill"):
        # Who starts a run may choose its id, and must not take a slot's key by it.
        return f"run__{run_id}"
    if dag_run.logical_date is not None:
        return f"scheduled__{dag_run.logical_date.astimezone(timezone.utc).isoformat()}"
    # New in Airflow 3.2: a run of a partition has no logical date, and something random in its id.
    partition = getattr(dag_run, "partition_key", None)
    return run_id if partition is None else f"scheduled__{partition}"
