"""Ticks the live jobs of a namespace: jobs that people add and change while Airflow runs, without a deploy.

For example, after `airflow pgmq init reports`:

    airflow pgmq jobs add tenants acme --schedule "0 6 * * 1-5" --timezone Europe/Berlin \\
        --queue-name reports --message '{"tenant": "acme", "day": "{{ ds }}"}'
    airflow pgmq jobs edit tenants acme --schedule "30 5 * * 1-5"
    airflow pgmq skip tenants acme 2026-12-24T04:30:00Z
    airflow pgmq jobs export tenants

Who wants jobs in files uses `jobs_from_yaml` for the operator's `jobs`; both kinds may be in one namespace.
"""

from __future__ import annotations

from datetime import timedelta

from airflow.sdk import DAG
from airflow.timetables.trigger import CronTriggerTimetable

from airflow_pgmq.operators import PgmqPeriodicOperator

with DAG(
    dag_id="pgmq_live_jobs",
    # The data interval is a minute long, so that an Airflow backfill of an hour enqueues that hour's slots.
    schedule=CronTriggerTimetable("* * * * *", timezone="UTC", interval=timedelta(minutes=1)),
    catchup=False,
    max_active_runs=1,
    tags=["pgmq"],
    doc_md=__doc__,
):
    PgmqPeriodicOperator(
        task_id="tick",
        live=True,
        namespace="tenants",
        retries=3,
        retry_delay=timedelta(seconds=10),
    )
