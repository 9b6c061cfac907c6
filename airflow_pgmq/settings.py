"""The `[pgmq]` section of `airflow.cfg`, read when asked, never at import."""

from __future__ import annotations

from functools import cache
from typing import Literal

from airflow_pgmq.core.limits import Limits
from airflow_pgmq.core.payload import DEFAULT_MAX_BYTES
from airflow_pgmq.core.redaction import DEFAULT_KEYS, parse_keys
from airflow_pgmq.errors import InvalidArgument

#: Airflow stores XComs in its metadata database, and reads and shows each one as a whole.
MAX_XCOM_BYTES = 48 * 1024


def max_message_bytes() -> int:
    """`[pgmq] max_message_bytes`: larger messages are refused before anything is sent."""
    from airflow.configuration import conf

    return int(conf.getint("pgmq", "max_message_bytes", fallback=DEFAULT_MAX_BYTES))


#: In seconds: the range that Postgres accepts, which stores whole milliseconds.
SHORTEST, LONGEST = 0.001, 2_000_000


def limits() -> Limits:
    """`[pgmq] lock_timeout` and so on: how long our transactions may block others."""
    from airflow.configuration import conf

    def seconds(option: str, fallback: float) -> float:
        value = float(conf.getfloat("pgmq", option, fallback=fallback))
        if value != 0 and not SHORTEST <= value <= LONGEST:
            raise InvalidArgument(
                f"[pgmq] {option} is {value}: give seconds from {SHORTEST} to {LONGEST}, or 0 for no limit."
            )
        return value

    default = Limits()
    return Limits(
        seconds("lock_timeout", default.lock),
        seconds("idle_in_transaction_timeout", default.idle),
        seconds("transaction_timeout", default.transaction),
    )


def max_xcom_bytes() -> int:
    """`[pgmq] max_xcom_bytes`: messages that are larger together are passed by their ids."""
    from airflow.configuration import conf

    return int(conf.getint("pgmq", "max_xcom_bytes", fallback=MAX_XCOM_BYTES))


def max_templated_field_length() -> int:
    """`[core] max_templated_field_length`: Airflow truncates longer template fields."""
    from airflow.configuration import conf

    return int(conf.getint("core", "max_templated_field_length", fallback=4096))


def redact_keys() -> frozenset[str]:
    """`[pgmq] redact_keys`: values of these JSON keys are never shown."""
    from airflow.configuration import conf

    return parse_keys(conf.get("pgmq", "redact_keys", fallback=DEFAULT_KEYS))


def execution_api_timeout() -> float:
    """`[workers] execution_api_timeout`: how many seconds Airflow may take to note that a task has ended."""
    from airflow.configuration import conf

    return float(conf.getfloat("workers", "execution_api_timeout", fallback=5.0))


def default_deferrable() -> bool:
    """`[operators] default_deferrable`: the default of sensors' `deferrable`."""
    from airflow.configuration import conf

    return bool(conf.getboolean("operators", "default_deferrable", fallback=False))


@cache
def metrics() -> Literal["tags", "names"] | None:
    """How Airflow's metrics exporter tells queues apart; None if it exports no metrics."""
    from airflow.configuration import conf

    def is_on(option: str, fallback: bool = False) -> bool:
        return bool(conf.getboolean("metrics", option, fallback=fallback))

    if is_on("statsd_datadog_enabled"):
        return "tags" if is_on("statsd_datadog_metrics_tags", fallback=True) else "names"
    if is_on("statsd_on"):
        return "tags" if is_on("statsd_influxdb_enabled") else "names"
    return "tags" if is_on("otel_on") else None
