"""`PgmqNotifier` in callbacks, and awaited."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import datetime, timedelta
from inspect import signature
from typing import Any

import pytest
from airflow.sdk import DAG, BaseNotifier, task

from airflow_pgmq.errors import DuplicateMessage, InvalidArgument, InvalidMessage
from airflow_pgmq.hooks import PgmqHook
from airflow_pgmq.notifications import PgmqNotifier
from airflow_pgmq.operators import PgmqSendOperator
from tests.fixtures.airflow import FinishedRun
from tests.fixtures.factories import execute, queued
from tests.fixtures.postgres import Database


@pytest.fixture
def hook(pgmq_connection: str) -> PgmqHook:
    hook = PgmqHook()
    hook.create_queue("alerts")
    return hook


def notifier(state: str) -> PgmqNotifier:
    return PgmqNotifier(
        queue_name="alerts",
        message={"dag": "{{ dag.dag_id }}", "run": "{{ run_id }}", "state": state},
        headers={"priority": "high"},
        dedup_key="{{ dag.dag_id }}/{{ run_id }}/" + state,
    )


def test_task_callbacks(hook: PgmqHook, run_dag: Callable[..., FinishedRun]) -> None:
    with DAG("calls", schedule=None) as dag:

        @task(on_success_callback=[notifier("done"), notifier("done")])
        def good() -> None: ...

        @task(on_failure_callback=notifier("failed"))
        def bad() -> None:
            raise ValueError

        good()
        bad()
    run = run_dag(dag)
    assert run.state == "failed"
    messages = hook.read("alerts", max_messages=9)
    assert sorted(message.message["state"] for message in messages) == ["done", "failed"]
    assert {message.message["run"] for message in messages} == {run.dag_run.run_id}
    assert {message.headers["priority"] for message in messages} == {"high"}
    assert {message.message["state"]: message.headers["source"] for message in messages} == {
        state: {"dag_id": "calls", "task_id": task_id, "run_id": run.dag_run.run_id, "map_index": -1}
        for state, task_id in {"done": "good", "failed": "bad"}.items()
    }


def test_dag_callback(hook: PgmqHook) -> None:
    """As the Dag processor calls it."""
    with DAG("callback", schedule=None, on_failure_callback=notifier("failed")) as dag:
        pass
    dag.on_failure_callback({"dag": dag, "run_id": "r"})
    (message,) = hook.read("alerts", max_messages=2)
    assert message.message == {"dag": "callback", "run": "r", "state": "failed"}
    assert message.headers["source"] == {"dag_id": "callback", "run_id": "r"}


def in_both_ways(notifier: PgmqNotifier) -> None:
    """As a callback of a task, then awaited as in the triggerer; the second time it is a duplicate."""
    context: Any = {"run_id": "r"}
    notifier(context)
    asyncio.run(notifier.async_notify(context))


def test_it_sends_as_the_operator_does(hook: PgmqHook, database: Database) -> None:
    in_both_ways(
        PgmqNotifier(
            queue_name="alerts",
            message={"run": "{{ run_id }}"},
            headers={"of": "{{ run_id }}"},
            delay="{{ 3600 }}",
            ttl="{{ 60 }}",
            group="{{ run_id }}",
            dedup_key="{{ run_id }}",
            dedup_window=timedelta(hours=1),
        )
    )
    (row,) = queued(database, "alerts")
    assert row["message"] == {"run": "r"}
    expires_at = datetime.fromisoformat(row["headers"].pop("expires_at"))
    assert expires_at - row["vt"] == timedelta(minutes=1)
    assert row["vt"] - row["enqueued_at"] > timedelta(minutes=59)
    assert row["headers"] == {"of": "r", "x-pgmq-group": "r", "dedup_key": "r", "source": {"run_id": "r"}}
    (taken,) = execute(database, "SELECT expires_at - first_at AS holds FROM airflow_pgmq.dedup_ledger")
    # From when the message becomes visible.
    assert taken["holds"] == timedelta(hours=2)


def test_a_waiting_message_is_replaced(hook: PgmqHook, database: Database) -> None:
    for number in (1, 2):
        PgmqNotifier(queue_name="alerts", message=number, dedup_key="k", on_duplicate="replace")(
            {"run_id": "r"}
        )
    assert [row["message"] for row in queued(database, "alerts")] == [2]


def test_a_duplicate_may_be_an_error(hook: PgmqHook) -> None:
    notifier = PgmqNotifier(
        queue_name="alerts", message=1, dedup_key="k", dedup_scope="queued", on_duplicate="fail"
    )
    notifier({"run_id": "r"})
    with pytest.raises(DuplicateMessage):
        notifier({"run_id": "r"})
    with pytest.raises(DuplicateMessage):
        asyncio.run(notifier.async_notify({"run_id": "r"}))


def test_a_list_is_several_messages_with_a_key_each(hook: PgmqHook, database: Database) -> None:
    in_both_ways(PgmqNotifier(queue_name="alerts", message=["a", ["b"]], dedup_key=["1", "2"]))
    assert [row["message"] for row in queued(database, "alerts")] == ["a", ["b"]]
    with pytest.raises(InvalidArgument, match="One dedup_key for 2 messages"):
        PgmqNotifier(queue_name="alerts", message=["a", "b"], dedup_key="1")({"run_id": "r"})


def test_it_takes_what_the_operator_takes_and_templates_the_same() -> None:
    of_notifier, of_operator = (
        set(signature(kind.__init__).parameters) for kind in (PgmqNotifier, PgmqSendOperator)
    )
    # A callback has no task that could be skipped.
    assert of_operator - of_notifier == {"skip_on_duplicate"}
    assert of_notifier - of_operator == set()
    assert set(PgmqNotifier.template_fields) == set(PgmqSendOperator.template_fields)


def test_headers_that_are_none_are_refused(hook: PgmqHook) -> None:
    wrong: Any = ["priority"]
    with pytest.raises(InvalidMessage, match="Headers must be a mapping, not list"):
        PgmqNotifier(queue_name="alerts", message=1, headers=wrong)({"run_id": "r"})


@pytest.mark.skipif(not hasattr(BaseNotifier, "__await__"), reason="this Airflow awaits no notifiers")
def test_awaited(hook: PgmqHook) -> None:
    dag = DAG("awaited", schedule=None)

    async def call() -> list[Any]:
        notifiers = [notifier(state) for state in ("one", "two")]
        for each in notifiers:
            each.context = {"dag": dag, "run_id": "r"}
        return await asyncio.gather(*(wait(each) for each in notifiers))

    async def wait(each: PgmqNotifier) -> Any:
        return await each

    asyncio.run(call())
    assert sorted(m.message["state"] for m in hook.read("alerts", max_messages=9)) == ["one", "two"]
