"""`PgmqSendTopicOperator` in real Dag runs."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timezone
from typing import Any

import pytest
from airflow.sdk import DAG

from airflow_pgmq.hooks import PgmqHook
from airflow_pgmq.operators import PgmqSendTopicOperator
from tests.fixtures.airflow import FinishedRun
from tests.fixtures.factories import queued
from tests.fixtures.postgres import Database

DAY = datetime(2026, 11, 20, tzinfo=timezone.utc)


@pytest.fixture
def hook(pgmq_connection: str) -> PgmqHook:
    hook = PgmqHook()
    for queue_name in ("audit", "mails"):
        hook.create_queue(queue_name)
        hook.bind_topic("orders.*", queue_name)
    return hook


def dag_of(**fields: Any) -> DAG:
    with DAG("topics", schedule=None) as dag:
        PgmqSendTopicOperator(task_id="send", **{"routing_key": "orders.{{ 'new' }}", **fields})
    return dag


def test_templates_headers_and_result(
    hook: PgmqHook, run_dag: Callable[..., FinishedRun], database: Database
) -> None:
    dag = dag_of(
        message={"day": "{{ ds }}"}, headers={"h": 1}, dedup_key="order/{{ ds }}", delay="{{ 60 }}", group="g"
    )
    run = run_dag(dag, logical_date=DAY)

    found = run.xcom("send")
    assert {name: each["status"] for name, each in found.items()} == {"audit": "sent", "mails": "sent"}
    for queue_name in ("audit", "mails"):
        (row,) = queued(database, queue_name)
        assert row["msg_id"] == found[queue_name]["msg_id"]
        assert row["message"] == {"day": "2026-11-20"}
        assert row["headers"].pop("source")["task_id"] == "send"
        assert row["headers"] == {"h": 1, "x-pgmq-group": "g", "dedup_key": "order/2026-11-20"}
        assert (row["vt"] - row["enqueued_at"]).total_seconds() == pytest.approx(60, abs=1)


def test_a_retry_sends_to_queues_without_the_message_only(
    hook: PgmqHook, run_dag: Callable[..., FinishedRun], database: Database
) -> None:
    hook.send("mails", 1, dedup_key="b")
    fields = {"message": [1, 2], "dedup_key": ["a", "b"], "skip_on_duplicate": True}

    run = run_dag(dag_of(**fields))

    found = run.xcom("send")
    assert {name: [one["status"] for one in each] for name, each in found.items()} == {
        "audit": ["sent", "sent"],
        "mails": ["sent", "duplicate"],
    }
    assert run_dag(dag_of(**fields)).states == {"send": "skipped"}
    assert [len(queued(database, name)) for name in ("audit", "mails")] == [2, 2]


def test_nobody_is_bound(hook: PgmqHook, caplog: Any, capsys: Any) -> None:
    task = dag_of(message=1, routing_key="invoices.new", skip_on_duplicate=True).get_task("send")
    assert task.execute({}) == {}
    assert "No queue is bound to invoices.new" in caplog.text + capsys.readouterr().out
    assert list(task.queues_written()) == []


def test_lineage_has_the_queues_that_were_reached(hook: PgmqHook) -> None:
    task = PgmqSendTopicOperator(task_id="send", routing_key="orders.new", message=1)
    task.execute({})
    assert list(task.queues_written()) == ["audit", "mails"]
