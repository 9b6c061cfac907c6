"""Workers in processes of their own, which a test freezes and kills where it wants to."""

from __future__ import annotations

import json
import multiprocessing
import os
import signal
from typing import Any

import psycopg

from airflow_pgmq.hooks import PgmqHook
from airflow_pgmq.messages import Message
from airflow_pgmq.operators import PgmqConsumeOperator, PgmqToSqlOperator

CONTEXT = multiprocessing.get_context("forkserver")
CONTEXT.set_forkserver_preload([__name__])

#: The advisory lock that a worker waits for where the test wants it to be.
GATE = 4711


def start(connection: str, **options: Any) -> Any:
    """A process that drains the queue `q` as a task does."""
    process = CONTEXT.Process(target=run, args=(connection, options), daemon=True)
    process.start()
    return process


def run(connection: str, options: dict[str, Any]) -> None:
    """Execute the operator; the exit status tells how it ended."""
    os.environ["AIRFLOW_CONN_PGMQ_DEFAULT"] = connection
    operator = table(**options) if options.pop("into_table", False) else consumer(**options)
    # A shell that starts the tests in the background lets them ignore it.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    # As Airflow's task runner does it.
    signal.signal(signal.SIGTERM, lambda *_: operator.on_kill())
    try:
        counts = operator.execute({})
    except KeyboardInterrupt:
        os._exit(3)
    os._exit(4 if counts["lost"] else 0)


def consumer(*, blocked: bool = False, transactional: bool = True, **options: Any) -> PgmqConsumeOperator:
    """The task: an effect for each message; `blocked` waits at the gate after the second one."""
    function = transactional_effects if transactional else committed_effects
    return PgmqConsumeOperator(
        task_id="drain",
        queue_name="q",
        python_callable=function,
        op_kwargs={"blocked": blocked},
        transactional=transactional,
        **{"batch_size": 3, **options},
    )


def table(**options: Any) -> PgmqToSqlOperator:
    """The task that fills a table; its statement waits at the gate."""
    sql = f"INSERT INTO effects SELECT message FROM messages CROSS JOIN pg_advisory_xact_lock({GATE})"
    return PgmqToSqlOperator(task_id="drain", queue_name="q", sql=sql, **options)


def transactional_effects(messages: list[Message], conn: Any, blocked: bool) -> None:
    """Effects in the transaction of the ack."""
    write(conn, messages, blocked)


def committed_effects(messages: list[Message], blocked: bool) -> None:
    """Effects that are committed before the ack."""
    with PgmqHook().get_conn() as conn:
        conn.autocommit = True
        write(conn, messages, blocked)


def write(conn: psycopg.Connection[Any], messages: list[Message], blocked: bool) -> None:
    for number, message in enumerate(messages, 1):
        conn.execute("INSERT INTO effects VALUES (%s)", [json.dumps(message.message)])
        if blocked and number == min(2, len(messages)):
            conn.execute("SELECT pg_advisory_xact_lock(%s)", [GATE])
