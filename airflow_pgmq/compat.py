"""Where Airflow 3.0 to 3.3 keep the same names; the only module that asks."""

from __future__ import annotations

import os
import sys
from datetime import datetime, timezone
from typing import Any

try:
    from airflow.sdk.bases.hook import BaseHook
except ImportError:  # before 3.1
    from airflow.hooks.base import BaseHook  # type: ignore[no-redef, attr-defined]

try:
    from airflow.sdk.exceptions import (
        AirflowFailException,
        AirflowNotFoundException,
        AirflowSensorTimeout,
        AirflowSkipException,
    )
except ImportError:  # before 3.2
    from airflow.exceptions import (  # type: ignore[no-redef, attr-defined]
        AirflowFailException,
        AirflowNotFoundException,
        AirflowSensorTimeout,
        AirflowSkipException,
    )

__all__ = [
    "AirflowFailException",
    "AirflowNotFoundException",
    "AirflowSensorTimeout",
    "AirflowSkipException",
    "BaseHook",
    "is_plain_process",
    "stats",
    "utcnow",
]


def utcnow() -> datetime:
    """Now by this machine's clock: for deadlines of waiting, never for what is due."""
    return datetime.now(timezone.utc)


def is_plain_process() -> bool:
    """Whether Airflow did not start this process, and so gives it no connections of its own database.

    What a task, trigger or Dag file asks, its supervisor answers; Airflow's servers say what they are.
    """
    runner = sys.modules.get("airflow.sdk.execution_time.task_runner")
    is_supervised = getattr(runner, "SUPERVISOR_COMMS", None) is not None
    return not is_supervised and os.environ.get("_AIRFLOW_PROCESS_CONTEXT") != "server"


def stats() -> Any:
    """Airflow's metrics, as this process exports them."""
    try:
        # Makes the exporter ready, in processes that have not done so yet.
        from airflow.sdk import serde  # noqa: F401
        from airflow.sdk.observability.stats import Stats
    except ImportError:  # before 3.2
        from airflow.stats import Stats
    return Stats
