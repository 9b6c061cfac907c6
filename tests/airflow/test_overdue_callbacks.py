"""`on_overdue` of the ticking task and of the maintenance, on a real Airflow."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from airflow.sdk import DAG

from airflow_pgmq.errors import InvalidArgument
from airflow_pgmq.hooks import PgmqHook
from airflow_pgmq.notifications import PgmqNotifier
from airflow_pgmq.operators import PgmqMaintenanceOperator, PgmqPeriodicOperator
from tests.fixtures.airflow import FinishedRun
from tests.fixtures.factories import execute, go_back, job
from tests.fixtures.postgres import Database

AT_ONCE = timedelta(microseconds=1)


@pytest.fixture
def hook(pgmq_connection: str) -> PgmqHook:
    hook = PgmqHook(pgmq_connection)
    for queue_name in ("mail", "alerts"):
        hook.create_queue(queue_name)
    return hook


def ticking(*callbacks: Any, **options: Any) -> DAG:
    with DAG("ticking", schedule=None) as dag:
        PgmqPeriodicOperator(
            task_id="tick",
            jobs=[job(expect_within=AT_ONCE)],
            namespace="shop",
            look_ahead=timedelta(0),
            grace=timedelta(hours=5),
            on_overdue=list(callbacks),
            **options,
        )
    return dag


def alert() -> PgmqNotifier:
    return PgmqNotifier(queue_name="alerts", message="{{ ti.task_id }}: {{ overdue.slot }}, {{ overdue }}")


def alerts(database: Database) -> list[str]:
    return [row["message"] for row in execute(database, "SELECT message FROM pgmq.q_alerts ORDER BY msg_id")]


def test_each_slot_is_told_once(
    hook: PgmqHook, database: Database, run_dag: Callable[..., FinishedRun]
) -> None:
    run_dag(ticking())
    go_back(database, hours=2)

    assert run_dag(ticking(alert())).xcom("tick")["overdue"] == 2

    told = alerts(database)
    assert len(set(told)) == 2
    assert re.match(r"tick: \d{4}-.*, Slot \d{4}-.* of job shop/job was expected by .* waits", told[0])
    assert run_dag(ticking(alert())).xcom("tick")["overdue"] == 0
    assert alerts(database) == told


def test_one_that_fails_does_not_stop_the_others_nor_the_tick(
    hook: PgmqHook, database: Database, run_dag: Callable[..., FinishedRun]
) -> None:
    def broken(context: Any) -> None:
        raise RuntimeError(context["overdue"].name)

    run_dag(ticking())
    go_back(database, hours=2)

    run = run_dag(ticking(broken, alert()))

    assert (run.state, len(alerts(database))) == ("success", 2)


def test_maintenance_tells_of_a_namespace_that_nobody_ticks(
    hook: PgmqHook, database: Database, run_dag: Callable[..., FinishedRun]
) -> None:
    run_dag(ticking())
    go_back(database, hours=2)
    with DAG("maintenance", schedule=None) as dag:
        PgmqMaintenanceOperator(task_id="maintain", on_overdue=alert())

    assert run_dag(dag).xcom("maintain")["overdue"] == 1

    (told,) = alerts(database)
    assert told.startswith("maintain: ")
    assert told.endswith("it has not been sent.")


def test_what_cannot_be_called_is_refused_at_parse() -> None:
    for operator in (PgmqPeriodicOperator, PgmqMaintenanceOperator):
        with pytest.raises(InvalidArgument, match="on_overdue takes functions and notifiers, not 'page me'"):
            operator(task_id="a", on_overdue=["page me"])
