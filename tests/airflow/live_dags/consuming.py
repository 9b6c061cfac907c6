"""Tasks that drain a queue and stop in the middle of its second message, until the test lets them go on."""

from __future__ import annotations

from typing import Any

import psycopg
from airflow.sdk import DAG, task

from airflow_pgmq.hooks import PgmqHook
from airflow_pgmq.messages import Message

#: The advisory lock that they wait for.
GATE = 4711

OPTIONS: dict[str, Any] = {"batch_size": 3, "visibility_timeout": 600}


def process(conn: psycopg.Connection[Any], queue_name: str, message: Message, run_id: str) -> None:
    conn.execute("INSERT INTO processed VALUES (%s, %s, %s)", [queue_name, message.msg_id, run_id])
    if message.message["n"] == 1:
        conn.execute("SELECT pg_advisory_xact_lock(%s)", [GATE])


with DAG("ended", schedule=None):

    @task.pgmq(queue_name="ended", **OPTIONS)
    def committed(message: Message, run_id: str) -> None:
        with PgmqHook().get_conn() as conn:
            conn.autocommit = True
            process(conn, "ended", message, run_id)

    committed(run_id="{{ run_id }}")

with DAG("ended_in_transaction", schedule=None):

    @task.pgmq(queue_name="ended_in_transaction", transactional=True, **OPTIONS)
    def transactional(message: Message, conn: psycopg.Connection[Any], run_id: str) -> None:
        process(conn, "ended_in_transaction", message, run_id)

    transactional(run_id="{{ run_id }}")
