"""Differences between Airflow 3.1 and 3.4: moved names, and features that only some versions have."""

from __future__ import annotations

import inspect
import os
import sys
from collections.abc import Mapping
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any

from airflow import __version__ as airflow_version
from airflow.sdk.bases.hook import BaseHook
from packaging.version import Version

from airflow_pgmq.errors import InvalidArgument

if TYPE_CHECKING:
    from airflow.triggers.base import BaseEventTrigger

try:
    from airflow.sdk.exceptions import (
        AirflowFailException,
        AirflowNotFoundException,
        AirflowSensorTimeout,
        AirflowSkipException,
        AirflowTaskTimeout,
    )
except ImportError:  # before 3.2
    from airflow.exceptions import (  # type: ignore[no-redef, attr-defined]
        AirflowFailException,
        AirflowNotFoundException,
        AirflowSensorTimeout,
        AirflowSkipException,
        AirflowTaskTimeout,
    )

__all__ = [
    "AirflowFailException",
    "AirflowNotFoundException",
    "AirflowSensorTimeout",
    "AirflowSkipException",
    "AirflowTaskTimeout",
    "BaseHook",
    "gives_partition_keys",
    "has_succeeded",
    "is_plain_process",
    "keeps_every_event",
    "push_link",
    "resumes_safely",
    "route",
    "stats",
    "utcnow",
]


def utcnow() -> datetime:
    """The time by this machine's clock: for deadlines of waiting, never to decide what is due."""
    return datetime.now(timezone.utc)


def is_plain_process() -> bool:
    """Whether Airflow did not start this process, so that connections of its database are not available.

    Tasks, triggers and Dag files ask their supervisor for connections; Airflow's servers are marked as such.
    """
    runner = sys.modules.get("airflow.sdk.execution_time.task_runner")
    is_supervised = getattr(runner, "SUPERVISOR_COMMS", None) is not None
    return not is_supervised and os.environ.get("_AIRFLOW_PROCESS_CONTEXT") != "server"


def stats() -> Any:
    """Airflow's metrics object, which exports the metrics of this process."""
    try:
        # This import initializes the exporter, in processes that have not done so yet.
        from airflow.sdk import serde  # noqa: F401
        from airflow.sdk.observability.stats import Stats
    except ImportError:  # before 3.2
        from airflow.stats import Stats
    return Stats


def keeps_every_event() -> bool:
    """Whether each asset event reaches a run (3.4). Older versions queue a Dag once for several events.

    Their run gets the events up to the one that queued it; the other events wait for a later event.
    """
    from airflow.models.asset import AssetDagRunQueue

    return hasattr(AssetDagRunQueue, "asset_event_id")


def gives_partition_keys() -> bool:
    """Whether a task can give partition keys to the events of its outlets (3.3)."""
    from airflow.sdk.execution_time.context import OutletEventAccessor

    return hasattr(OutletEventAccessor, "add_partitions")


def has_succeeded(context: Mapping[str, Any]) -> bool:
    """In a success callback: whether Airflow has really stored the task's success.

    Airflow 3.3 also calls it when the success was rejected, because the task was failed or cleared meanwhile.
    """
    ti: Any = context.get("ti")
    if not hasattr(ti, "get_task_states"):
        return True  # called by hand
    found = ti.get_task_states(
        dag_id=ti.dag_id, task_ids=[ti.task_id], run_ids=[ti.run_id], map_index=ti.map_index
    )
    return [str(state) for state in found.get(ti.run_id, {}).values()] == ["success"]


def push_link(ti: Any, key: str, link: str) -> None:
    """Store a link as Airflow does: not in a custom XCom backend, whose files its UI does not read."""
    from airflow.sdk.execution_time import task_runner

    if isinstance(ti, task_runner.RuntimeTaskInstance) and hasattr(task_runner, "_xcom_push_to_db"):
        task_runner._xcom_push_to_db(ti, key, link)
    else:
        ti.xcom_push(key=key, value=link)


def resumes_safely() -> bool:
    """Whether a deferred task may resume before the executor has reported the end of its first part (3.4).

    Older schedulers mistake that report for the end of the resumed task, and fail it: apache/airflow 71580,
    72716.
    """
    return Version(airflow_version) >= Version("3.4.0.dev0")


def route(trigger: BaseEventTrigger, queue: str) -> None:
    """Run an asset's trigger only on triggerers that serve this queue (3.4)."""
    from airflow.triggers.base import BaseEventTrigger

    if "queue" not in inspect.signature(BaseEventTrigger.__init__).parameters:
        raise InvalidArgument("trigger_queue needs Airflow 3.4 or newer; leave it out.")
    trigger.queue = queue  # type: ignore[attr-defined]  # not there before 3.4
