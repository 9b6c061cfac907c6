"""Where Airflow 3.0 to 3.3 keep the same names; the only module that asks."""

from __future__ import annotations

try:
    from airflow.sdk.exceptions import AirflowSensorTimeout, AirflowSkipException
except ImportError:  # before 3.2
    from airflow.exceptions import (  # type: ignore[no-redef]
        AirflowSensorTimeout,
        AirflowSkipException,
    )

__all__ = ["AirflowSensorTimeout", "AirflowSkipException"]
