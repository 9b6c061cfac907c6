"""One job, one Dag: a message a day, sent once however often the run is retried or cleared.

The key names the day that the run stands for, never the clock, so every try and every run of a day
agree on it.
"""

from __future__ import annotations

from airflow.sdk import DAG
from airflow.timetables.trigger import CronTriggerTimetable

from airflow_pgmq.operators import PgmqSendOperator

with DAG(
    dag_id="pgmq_daily_report",
    schedule=CronTriggerTimetable("0 7 * * *", timezone="UTC"),
    catchup=False,
    tags=["pgmq"],
    doc_md=__doc__,
):
    PgmqSendOperator(
        task_id="send_report",
        queue_name="reports",
        message={"report": "sales", "day": "{{ ds }}"},
        dedup_key="daily_report/{{ ds }}",
        retries=3,
    )
