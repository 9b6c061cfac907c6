"""Deferred sensors on an Airflow that runs, with a real triggerer."""

from __future__ import annotations

from typing import Any

import pytest

from airflow_pgmq.core import xcom
from tests.airflow.live_dags.waiting import GATE
from tests.fixtures.live import LiveAirflow
from tests.fixtures.patience import patience

# One Airflow for all tests that need it.
pytestmark = [pytest.mark.xdist_group("live_airflow"), pytest.mark.timeout(180), pytest.mark.slow]


QUEUES = {
    "waiting": "waiting",
    "waiting_without_worker": "waiting_without_worker",
    "waiting_fails": "waiting_in_vain",
    "waiting_is_skipped": "waiting_in_vain",
}


@pytest.fixture(scope="module")
def airflow(live_airflow: LiveAirflow) -> LiveAirflow:
    """With a run of each Dag, all on empty queues: they wait side by side."""
    for dag_id, queue_name in QUEUES.items():
        live_airflow.hook().create_queue(queue_name)
        live_airflow.trigger(dag_id)
    return live_airflow


def task(airflow: LiveAirflow, dag_id: str) -> tuple[str, str | None]:
    """State of the sensor, and the host of the worker that it had."""
    rows = airflow.ask("SELECT state, hostname FROM task_instance WHERE dag_id = %s", dag_id)
    return rows[0] if rows else ("", None)


def await_state(airflow: LiveAirflow, dag_id: str, state: str) -> None:
    airflow.wait_until(lambda: task(airflow, dag_id)[0] == state, f"{dag_id} is {state}", 60)


def await_deferral(airflow: LiveAirflow, dag_id: str) -> None:
    """Deferred, and for so long that Airflow knows of the end of its first part: or it fails the second."""
    statement = (
        "SELECT 1 FROM task_instance WHERE dag_id = %s AND state = 'deferred'"
        " AND (start_date IS NULL OR updated_at < now() - make_interval(secs => %s))"
    )
    airflow.wait_until(lambda: airflow.ask(statement, dag_id, patience(7)), f"{dag_id} is deferred", 60)


def nested(depth: int) -> Any:
    """This many nested lists."""
    found: Any = []
    for _ in range(depth - 1):
        found = [found]
    return found


DEEP = nested(xcom.MAX_DEPTH - 2)


@pytest.mark.parametrize(
    ("dag_id", "message", "handed_on"),
    [
        # Airflow's processes could not tell each other: the task would fail, and the next one too.
        ("waiting", {"kind": "order", "number": 10**99}, None),
        ("waiting_without_worker", {"kind": "order", "deep": DEEP}, {"kind": "order", "deep": DEEP}),
    ],
)
def test_a_deferred_sensor_hands_on_what_comes(
    airflow: LiveAirflow, dag_id: str, message: Any, handed_on: Any
) -> None:
    await_deferral(airflow, dag_id)
    airflow.hook().send(dag_id, message)
    await_state(airflow, dag_id, "success")
    # Stored once: nothing else is in the store.
    [[found]] = airflow.results(dag_id)
    assert found["message"] == handed_on
    assert found["by_reference"] is (handed_on is None)
    airflow.wait_until(lambda: airflow.archived(dag_id) == 1, "the message is acked", 30)


@pytest.mark.parametrize(
    ("dag_id", "state"), [("waiting_fails", "failed"), ("waiting_is_skipped", "skipped")]
)
def test_a_deferred_sensor_times_out(airflow: LiveAirflow, dag_id: str, state: str) -> None:
    await_state(airflow, dag_id, state)


def test_a_success_that_airflow_rejects_acks_nothing(airflow: LiveAirflow) -> None:
    """As when it has failed the task meanwhile: the message comes back, and another run gets it."""
    dag_id = queue_name = "waiting_rejected"
    airflow.hook().create_queue(queue_name)
    airflow.hook().send(queue_name, {})
    with airflow.queues.connect(autocommit=True) as gate:
        gate.execute("SELECT pg_advisory_lock(%s)", [GATE])
        airflow.trigger(dag_id)
        waits = "SELECT 1 FROM pg_locks WHERE locktype = 'advisory' AND objid = %s AND NOT granted"
        airflow.wait_until(lambda: airflow.ask_queues(waits, GATE), "the task has its result", 90)
        airflow.mark_failed(dag_id)
    airflow.wait_until(
        lambda: airflow.ask_queues("SELECT 1 FROM pgmq.q_waiting_rejected WHERE vt < now()"), "it is back", 60
    )
    airflow.trigger(dag_id)
    airflow.wait_until(lambda: airflow.archived(queue_name) == 1, "another run has handed it on", 90)
    assert airflow.runs(dag_id)[0][1] == "failed"
    assert {message["read_ct"] for (message,) in airflow.results(dag_id)} == {1, 2}
