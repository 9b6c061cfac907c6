"""Slots as partitions, on an Airflow that runs: a Dag has a run for each slot."""

from __future__ import annotations

import pytest

from airflow_pgmq import compat
from tests.fixtures.live import LiveAirflow

# One Airflow for all tests that need it.
pytestmark = [
    pytest.mark.xdist_group("live_airflow"),
    pytest.mark.timeout(180),
    pytest.mark.slow,
    pytest.mark.skipif(not compat.gives_partition_keys(), reason="new in Airflow 3.3"),
]

RUNS = "SELECT partition_key, state FROM dag_run WHERE dag_id = 'sliced' ORDER BY partition_key"
SENT_SLOTS = """
    SELECT headers ->> 'slot' FROM pgmq.q_sliced UNION SELECT headers ->> 'slot' FROM pgmq.a_sliced ORDER BY 1
"""


def test_a_dag_has_a_run_for_each_slot_that_was_sent(live_airflow: LiveAirflow) -> None:
    # A Dag that is not there yet when the event comes is not started by it.
    for dag_id in ("sliced", "unsliced"):
        live_airflow.wait_until(
            lambda name=dag_id: live_airflow.ask("SELECT 1 FROM dag WHERE dag_id = %s", name), dag_id, 60
        )
    live_airflow.trigger("slicing")
    live_airflow.wait_until(lambda: live_airflow.archived("sliced") >= 2, "the slots are done", 120)
    live_airflow.wait_until(
        lambda: {state for _, state in live_airflow.ask(RUNS)} == {"success"}, "the runs have ended", 60
    )
    sent = [slot for (slot,) in live_airflow.ask_queues(SENT_SLOTS)]
    assert [key for key, _ in live_airflow.ask(RUNS)] == sent
    # Each run took the message of its slot.
    taken = [found for found in live_airflow.results("sliced") if isinstance(found[0], str)]
    assert sorted(taken) == [[slot, slot] for slot in sent]
    assert live_airflow.runs("unsliced") == []
