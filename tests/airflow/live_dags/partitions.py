"""A tick whose slots are partitions, and a Dag that has a run for each of them."""

from __future__ import annotations

from datetime import timedelta

import airflow.sdk
from airflow.sdk import DAG, task

from airflow_pgmq import compat
from airflow_pgmq.assets import queue_asset
from airflow_pgmq.jobs import PeriodicJob
from airflow_pgmq.operators import PgmqPeriodicOperator
from airflow_pgmq.sensors import PgmqSensor

if compat.gives_partition_keys():
    sliced = queue_asset("sliced")

    with DAG("slicing", schedule=None):
        PgmqPeriodicOperator(
            task_id="tick",
            jobs=[PeriodicJob(name="slices", cron="* * * * * */10", queue_name="sliced")],
            look_ahead=timedelta(seconds=25),
            partition_by_slot=True,
            outlets=[sliced],
        )

    with DAG("sliced", schedule=airflow.sdk.PartitionedAssetTimetable(assets=sliced)):

        @task
        def note(messages: list[dict[str, dict[str, str]]], slot: str) -> list[str]:
            return [slot, *(message["headers"]["slot"] for message in messages)]

        found = PgmqSensor(
            task_id="wait",
            queue_name="sliced",
            headers_condition={"slot": "{{ partition_key }}"},
            deferrable=True,
            timeout=120,
        )
        note(found.output, "{{ partition_key }}")

    # Without partitions: started by no event that has one.
    with DAG("unsliced", schedule=[sliced]):

        @task
        def nothing() -> None:
            """Only that the Dag has a task."""

        nothing()
