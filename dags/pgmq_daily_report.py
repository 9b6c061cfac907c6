"""One job, one Dag: a message a day, sent once however often the run is retried, cleared or backfilled.

The key never depends on the clock. In a scheduled run it names the day's slot, so every try and every
backfill has the same key. A run that somebody started has a key of its own, and does not take the day's key.
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
        # `ds` is missing in runs without a logical date, such as those of `airflow dags trigger`.
        message={"report": "sales", "day": "{{ (dag_run.logical_date or dag_run.run_after) | ds }}"},
        dedup_key="daily_report/{{ macros.pgmq.run_key(dag_run) }}",
        retries=3,
    )
