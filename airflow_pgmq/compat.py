"""Where Airflow 3.0 to 3.3 keep the same names; the only module that asks."""

from __future__ import annotations

from datetime import datetime, timezone
from typing import Any

try:
    from airflow.sdk.bases.hook import BaseHook
except ImportError:  # before 3.1
    from airflow.hooks.base import BaseHook  # type: ignore[no-redef, attr-defined]

try:
    from airflow.sdk.exceptions import AirflowFailException, AirflowSensorTimeout, AirflowSkipException
except ImportError:  # before 3.2
    from airflow.exceptions import (  # type: ignore[no-redef]
        AirflowFailException,
        AirflowSensorTimeout,
        AirflowSkipException,
    )

__all__ = [
    "AirflowFailException",
    "AirflowSensorTimeout",
    "AirflowSkipException",
    "BaseHook",
    "command",
    "stats",
    "utcnow",
]


def utcnow() -> datetime:
    """Now by this machine's clock: for deadlines of waiting, never for what is due."""
    return datetime.now(timezone.utc)


def command() -> str:
    """How people call our commands: Airflow before 3.2 takes none of a provider's."""
    from airflow.providers_manager import ProvidersManager

    known = hasattr(ProvidersManager, "cli_command_functions")
    return "airflow pgmq" if known else "python -m airflow_pgmq"


def stats() -> Any:
    """Airflow's metrics, as this process exports them."""
    try:
        # Makes the exporter ready, in processes that have not done so yet.
        from airflow.sdk import serde  # noqa: F401
        from airflow.sdk.observability.stats import Stats
    except ImportError:  # before 3.2
        from airflow.stats import Stats
    return Stats
