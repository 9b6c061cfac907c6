"""Who sent a message: the header `source`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from airflow_pgmq.core import payload


def source(context: Mapping[str, Any]) -> dict[str, Any]:
    """The task of a context; in a callback of a Dag or a deadline, the run; else empty.

    The context of a Dag's callback may hold the task that ended last, which is not the one that sends.
    """
    ti = context.get("ti")
    if ti is not None and "reason" not in context:
        return {"dag_id": ti.dag_id, "task_id": ti.task_id, "run_id": ti.run_id, "map_index": ti.map_index}
    run = context.get("dag_run")
    # In a deadline's context, the run is a mapping, as Airflow's API returns it.
    of_run = run if isinstance(run, Mapping) else {"dag_id": getattr(run, "dag_id", None)}
    dag_id = getattr(context.get("dag"), "dag_id", None) or of_run.get("dag_id")
    run_id = context.get("run_id") or of_run.get("dag_run_id") or getattr(run, "run_id", None)
    return {name: value for name, value in (("dag_id", dag_id), ("run_id", run_id)) if value is not None}


def with_source(headers: Mapping[str, Any] | None, context: Mapping[str, Any]) -> dict[str, Any]:
    """Headers of a message that a task or callback sends, with our header `source`.

    :raises InvalidMessage: the headers are not a mapping
    """
    own = payload.plain_headers(headers)
    found = source(context)
    return {**own, "source": found} if found else own
