"""OpenLineage: events of real Dag runs, written by its own client, and what its extractor makes of a task."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from airflow.sdk import Asset

from airflow_pgmq.assets import convert_asset_to_openlineage, queue_asset
from airflow_pgmq.hooks import PgmqHook
from airflow_pgmq.lineage import table_dataset
from airflow_pgmq.operators import (
    PgmqConsumeOperator,
    PgmqQueueOperator,
    PgmqRequeueOperator,
    PgmqSendOperator,
    PgmqToSqlOperator,
    SqlToPgmqOperator,
)
from airflow_pgmq.operators.periodic import PgmqPeriodicOperator
from airflow_pgmq.sensors import PgmqSensor
from tests.fixtures.factories import job
from tests.fixtures.postgres import Database

pytest.importorskip("airflow.providers.openlineage", reason="the OpenLineage provider is not installed")

DAG_FILE = """
from airflow.sdk import DAG, task
from airflow_pgmq.operators import PgmqSendOperator

with DAG("traced", schedule=None):
    @task.pgmq(queue_name="orders")
    def consume(message):
        pass

    PgmqSendOperator(task_id="send", queue_name="orders", message=1) >> consume()
"""

SEND = {"queue_name": "Orders"}


def work(message: Any) -> None:
    """A consumer's function."""


TASKS = [
    (PgmqSendOperator(task_id="t", message=1, **SEND), [], ["q_orders"]),
    (SqlToPgmqOperator(task_id="t", sql="SELECT 1", **SEND), [], ["q_orders"]),
    (PgmqPeriodicOperator(task_id="t", jobs=[job("a"), job("b", queue_name="x")]), [], ["q_mail", "q_x"]),
    (PgmqConsumeOperator(task_id="t", python_callable=work, **SEND), ["q_orders"], []),
    (PgmqSensor(task_id="t", **SEND), ["q_orders"], []),
    (PgmqRequeueOperator(task_id="t", **SEND), ["q_orders_dlq"], ["q_orders"]),
    (PgmqRequeueOperator(task_id="t", source="archive", msg_ids=[1], **SEND), [], ["q_orders"]),
    (PgmqToSqlOperator(task_id="t", sql="SELECT 1 FROM messages", **SEND), ["q_orders"], []),
    (PgmqQueueOperator(task_id="t", action="purge", confirm="Orders", **SEND), [], []),
]


@pytest.mark.parametrize(("task", "inputs", "outputs"), TASKS, ids=lambda each: type(each).__name__)
def test_the_extractor_finds_the_queues(
    task: Any, inputs: list[str], outputs: list[str], pgmq_connection: str, database: Database
) -> None:
    from airflow.providers.openlineage.extractors.base import DefaultExtractor

    found = DefaultExtractor(task).extract_on_complete(None)
    assert [each.name for each in found.inputs] == [f"{database.name}.pgmq.{name}" for name in inputs]
    assert [each.name for each in found.outputs] == [f"{database.name}.pgmq.{name}" for name in outputs]
    namespaces = {each.namespace for each in (*found.inputs, *found.outputs)}
    assert namespaces <= {f"postgres://{database.server.directory}:5432"}


@pytest.mark.parametrize(("table", "named"), [("orders", "public.orders"), ("shop.orders", "shop.orders")])
def test_a_table_that_is_filled_is_an_output(
    table: str, named: str, pgmq_connection: str, database: Database
) -> None:
    task = PgmqToSqlOperator(task_id="t", queue_name="orders", table=table, columns=["id"])
    (output,) = task.get_openlineage_facets_on_complete(None).outputs
    assert output.name == f"{database.name}.{named}"


def test_tasks_and_assets_name_a_queue_alike(pgmq_connection: str) -> None:
    task = PgmqSendOperator(task_id="t", queue_name="orders", message=1)
    (output,) = task.get_openlineage_facets_on_complete(None).outputs
    assert convert_asset_to_openlineage(queue_asset("orders"), None) == output


def test_without_the_connection_the_uri_is_all_that_is_known() -> None:
    task = PgmqSendOperator(task_id="t", queue_name="orders", message=1, pgmq_conn_id="gone")
    (output,) = task.get_openlineage_facets_on_complete(None).outputs
    assert (output.namespace, output.name) == ("pgmq://gone", "orders")
    assert convert_asset_to_openlineage(Asset("pgmq://gone/orders"), None) == output


def test_events_of_a_run_have_the_queue(
    airflow_metadata: object, pgmq_connection: str, database: Database, tmp_path: Path
) -> None:
    """In a process of its own: Airflow decides at its start whether it reports lineage."""
    PgmqHook().create_queue("orders")
    (tmp_path / "traced.py").write_text(DAG_FILE)
    events = tmp_path / "events.json"
    transport = json.dumps({"type": "file", "log_file_path": str(events), "append": True})
    done = subprocess.run(
        [sys.executable, "-m", "airflow", "dags", "test", "traced"],
        env={
            **os.environ,
            "AIRFLOW__CORE__DAGS_FOLDER": str(tmp_path),
            "AIRFLOW__OPENLINEAGE__TRANSPORT": transport,
            # After ten seconds, as a busy machine may need, Airflow would go on without the event.
            "AIRFLOW__OPENLINEAGE__EXECUTION_TIMEOUT": "300",
        },
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    found = [json.loads(line) for line in events.read_text().splitlines()]
    complete = {each["job"]["name"]: each for each in found if each["eventType"] == "COMPLETE"}
    queue = {
        "namespace": f"postgres://{database.server.directory}:5432",
        "name": f"{database.name}.pgmq.q_orders",
    }
    assert _names(complete["traced.send"]["outputs"]) == _names(complete["traced.consume"]["inputs"])
    assert _names(complete["traced.send"]["outputs"]) == [queue]


def _names(datasets: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{key: each[key] for key in ("namespace", "name")} for each in datasets]


@pytest.mark.parametrize(("arguments", "name"), [({"dbname": "shop"}, "shop"), ({"user": "app"}, "app")])
def test_a_connection_without_a_database_means_the_users(arguments: dict[str, str], name: str) -> None:
    assert table_dataset("t", arguments).name == f"{name}.public.t"
