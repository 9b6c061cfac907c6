"""Deferred sensors of each kind; each waits on the queue with its Dag's name."""

from __future__ import annotations

import os
from typing import Any

from airflow.sdk import DAG

from airflow_pgmq.hooks import PgmqHook
from airflow_pgmq.sensors import PgmqSensor

#: The advisory lock that a task waits for between its work and its success.
GATE = 815

with DAG("waiting", schedule=None):
    PgmqSensor(task_id="wait", queue_name="waiting", deferrable=True, timeout=300)

with DAG("waiting_without_worker", schedule=None):
    # Where Airflow starts the trigger without a worker, it is the triggerer that renders this.
    PgmqSensor(
        task_id="wait",
        queue_name="{{ ti.dag_id }}",
        condition={"kind": "order"},
        deferrable=True,
        start_from_trigger=True,
        timeout=300,
    )

for ending in ("fails", "is_skipped"):
    with DAG(f"waiting_{ending}", schedule=None):
        PgmqSensor(
            task_id="wait",
            queue_name="waiting_in_vain",
            deferrable=True,
            # Longer than Airflow takes to report that the first part of the task has ended.
            timeout=8 * float(os.environ.get("SLOWNESS", "1")),
            soft_fail=ending == "is_skipped",
        )


def wait_at_the_gate(context: Any, result: Any) -> None:
    with PgmqHook().get_conn() as conn:
        conn.execute("SELECT pg_advisory_xact_lock(%s)", [GATE])


with DAG("waiting_rejected", schedule=None):
    PgmqSensor(
        task_id="wait", queue_name="waiting_rejected", visibility_timeout=5, post_execute=wait_at_the_gate
    )
