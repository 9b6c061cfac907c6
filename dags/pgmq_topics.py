"""One message for everybody who wants it: prices of the day, for whoever is bound to their topic.

The Dag binds two queues: `audit` gets every message of a topic, `reports` those about prices. Others may
bind queues of theirs, with `airflow pgmq bind prices.* <queue>` or with PGMQ's own `bind_topic`, and the Dag
need not know them. A retry or a clear sends only to queues that do not have the message of the day.

Needs PGMQ 1.11 or newer, and the queues of `airflow pgmq init audit reports`.
"""

from __future__ import annotations

from airflow.sdk import dag
from airflow.timetables.trigger import CronTriggerTimetable

from airflow_pgmq.operators import PgmqQueueOperator, PgmqSendTopicOperator


@dag(
    schedule=CronTriggerTimetable("0 18 * * 1-5", timezone="Europe/Berlin"),
    catchup=False,
    tags=["pgmq"],
    doc_md=__doc__,
)
def pgmq_topics() -> None:
    bound = [
        PgmqQueueOperator(task_id="bind_audit", queue_name="audit", action="bind", topics=["#"]),
        PgmqQueueOperator(task_id="bind_reports", queue_name="reports", action="bind", topics=["prices.*"]),
    ]
    tell = PgmqSendTopicOperator(
        task_id="tell",
        routing_key="prices.closed",
        message={"day": "{{ (dag_run.logical_date or dag_run.run_after) | ds }}"},
        dedup_key="prices/{{ macros.pgmq.run_key(dag_run) }}",
    )
    bound >> tell


pgmq_topics()
