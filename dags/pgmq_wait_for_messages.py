"""Wait for paid orders without occupying a worker, then ship them.

The next run starts when this one has finished, so one run is always waiting. The sensor archives
messages only when it hands them on; orders that are not paid stay in the queue.

Needs the queue of `airflow pgmq init orders`.
"""

from __future__ import annotations

from datetime import datetime, timezone
from typing import Any

from airflow.sdk import dag, task

from airflow_pgmq.sensors import PgmqSensor


@dag(
    schedule="@continuous",
    start_date=datetime(2025, 1, 1, tzinfo=timezone.utc),
    catchup=False,
    max_active_runs=1,
    tags=["pgmq"],
    doc_md=__doc__,
)
def pgmq_wait_for_messages() -> None:
    paid_orders = PgmqSensor(
        task_id="wait_for_paid_orders",
        queue_name="orders",
        condition={"status": "paid"},
        max_messages=10,
        deferrable=True,
        # Waits in the triggerer, without a worker, until a message arrives.
        start_from_trigger=True,
        retries=3,
    )

    @task
    def ship(messages: list[dict[str, Any]]) -> list[int]:
        """Ship each order; returns their numbers."""
        return [message["message"]["order"] for message in messages]

    ship(paid_orders.output)


pgmq_wait_for_messages()
