"""Consuming tasks that Airflow ends: marked as failed while they work, under their real supervisor."""

from __future__ import annotations

import psycopg
import pytest

from tests.airflow.live_dags.consuming import GATE
from tests.fixtures.live import LiveAirflow

# One Airflow for all tests that need it.
pytestmark = [pytest.mark.xdist_group("live_airflow"), pytest.mark.timeout(180), pytest.mark.slow]

DAGS = ("ended", "ended_in_transaction")


def at_the_gate(airflow: LiveAirflow) -> int:
    statement = "SELECT 1 FROM pg_locks WHERE locktype = 'advisory' AND NOT granted AND objid = %s"
    return len(airflow.ask_queues(statement, GATE))


def visible(airflow: LiveAirflow, queue_name: str) -> int:
    return airflow.hook().metrics(queue_name).queue_visible_length


def noted(airflow: LiveAirflow, queue_name: str) -> list[int]:
    """What was done with which message, once for each time."""
    statement = "SELECT msg_id FROM processed WHERE queue_name = %s ORDER BY 1"
    return [row[0] for row in airflow.ask_queues(statement, queue_name)]


def test_a_task_that_is_marked_as_failed_gives_back_at_once_what_it_has_not_done(
    live_airflow: LiveAirflow,
) -> None:
    airflow = live_airflow
    for dag_id in DAGS:
        airflow.hook().create_queue(dag_id)
        airflow.hook().send_batch(dag_id, [{"n": n} for n in range(3)])
    with airflow.queues.connect(autocommit=True) as gate:
        close(gate)
        for dag_id in DAGS:
            airflow.trigger(dag_id)
        airflow.wait_until(lambda: at_the_gate(airflow) == 2, "both tasks are in the middle", 90)
        assert [visible(airflow, dag_id) for dag_id in DAGS] == [0, 0]

        for dag_id in DAGS:
            airflow.mark_failed(dag_id)
        # Their visibility timeout is ten minutes.
        airflow.wait_until(
            lambda: all(visible(airflow, dag_id) == 2 for dag_id in DAGS), "all is given back", 60
        )
        # Their queries were cancelled.
        assert at_the_gate(airflow) == 0
        assert [airflow.archived(dag_id) for dag_id in DAGS] == [1, 1]
        assert noted(airflow, "ended") == [1, 2]
        assert noted(airflow, "ended_in_transaction") == [1]

    for dag_id in DAGS:
        airflow.trigger(dag_id)
    airflow.wait_until(lambda: not any(map(airflow.left, DAGS)), "the next runs have done the rest", 90)
    assert [airflow.archived(dag_id) for dag_id in DAGS] == [3, 3]
    # At least once without a transaction, exactly once in one.
    assert noted(airflow, "ended") == [1, 2, 2, 3]
    assert noted(airflow, "ended_in_transaction") == [1, 2, 3]


def close(gate: psycopg.Connection) -> None:
    """Until its connection ends."""
    gate.execute("SELECT pg_advisory_lock(%s)", [GATE])
