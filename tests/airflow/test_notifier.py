"""`PgmqNotifier` in callbacks, and awaited."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from airflow.sdk import DAG, BaseNotifier, task

from airflow_pgmq.errors import InvalidMessage
from airflow_pgmq.hooks import PgmqHook
from airflow_pgmq.notifications import PgmqNotifier
from tests.fixtures.airflow import FinishedRun


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
