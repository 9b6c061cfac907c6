"""Every minute: samples of the queues for the PGMQ page, expired messages archived, old rows removed.

Messages archived more than 30 days ago are removed; without `archive_retention`, archives grow for ever.
"""

from __future__ import annotations

from datetime import timedelta

from airflow.sdk import DAG
from airflow.timetables.trigger import CronTriggerTimetable

from airflow_pgmq.operators import PgmqMaintenanceOperator

with DAG(
    dag_id="pgmq_maintenance",
    schedule=CronTriggerTimetable("* * * * *", timezone="UTC"),
    catchup=False,
    max_active_runs=1,
    tags=["pgmq"],
    doc_md=__doc__,
):
    PgmqMaintenanceOperator(
        task_id="maintain",
        archive_retention=timedelta(days=30),
        execution_timeout=timedelta(minutes=5),
    )
