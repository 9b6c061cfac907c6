"""The time from a message to the run that it starts, on a complete Airflow, and Airflow's share of it."""

from __future__ import annotations

import random
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from itertools import pairwise
from pathlib import Path
from statistics import median
from typing import Any

import psycopg

from airflow_pgmq.db.client import Client
from airflow_pgmq.db.local import LocalPostgres
from airflow_pgmq.db.statements import queues
from benchmarks.findings import Figure
from benchmarks.stage import Stage
from demo.standalone import METADATA, QUEUES, ROOT, Standalone

DAG_ID = "pgmq_event_driven"
QUEUE = "signups"

WATCHED = "SELECT 1 FROM trigger WHERE classpath LIKE '%PgmqEventTrigger' AND triggerer_id IS NOT NULL"
#: All clocks are those of Postgres servers and processes of this machine.
ON_THE_WAY = """
    SELECT extract(epoch FROM event.timestamp), extract(epoch FROM run.queued_at),
           extract(epoch FROM task.start_date)
    FROM (
        SELECT min(timestamp) AS timestamp FROM asset_event WHERE extract(epoch FROM timestamp) > %(since)s
    ) AS event, dag_run AS run JOIN task_instance AS task USING (dag_id, run_id)
    WHERE run.dag_id = 'pgmq_event_driven' AND extract(epoch FROM run.queued_at) > %(since)s
        AND task.start_date IS NOT NULL
    ORDER BY run.queued_at LIMIT 1
"""
SENT_AND_ACKED = """
    SELECT extract(epoch FROM enqueued_at), extract(epoch FROM archived_at)
    FROM pgmq.a_signups WHERE msg_id = %s
"""


def run(stage: Stage) -> Iterator[Figure]:
    """Send one message at a time, after pauses that differ from the intervals of Airflow's loops."""
    with ExitStack() as stack:
        home = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="airflow_events_")))
        server = stack.enter_context(LocalPostgres())
        standalone = _start(stack, home, server, stage)
        ways = []
        for number in range(stage.rounds + 1):
            stage.progress(f"message {number + 1} of {stage.rounds + 1}")
            # The trigger rings at most every ten seconds, and a loop of the scheduler takes one second.
            time.sleep(11 + random.random())
            ways.append(_measure(server, standalone))
        # The first one includes the time of imports.
        parts = [median(column) for column in zip(*ways[1:], strict=True)]
    total, names = sum(parts), ("event stored", "run queued", "task started", "acked")
    yield Figure(
        "a message → the Dag run that it starts, until the message is acked, all of Airflow on this machine",
        "for comparison",
        f"{total:.2f} s: "
        + ", ".join(f"{name} +{part:.2f} s" for name, part in zip(names, parts, strict=True)),
        None,
    )
    yield Figure(
        "Airflow's own share of it: from the stored event to the start of the task",
        "for comparison",
        f"{(parts[1] + parts[2]) / total:.0%}",
        None,
    )


def _start(stack: ExitStack, home: Path, server: LocalPostgres, stage: Stage) -> Standalone:
    """Airflow with one Dag, when its doorbell is being watched."""
    stage.progress("Airflow starts")
    with psycopg.connect(server.dsn(), autocommit=True) as admin:
        for database in (METADATA, QUEUES):
            admin.execute(f"CREATE DATABASE {database}")
    client = Client(lambda: psycopg.connect(server.dsn(QUEUES)))
    client.install()
    # With the notify trigger, so that waiters need not poll.
    client.run(lambda: queues.create(QUEUE, notify=True))
    standalone = Standalone(home, server)
    (home / "dags").mkdir()
    shutil.copy(ROOT / "dags" / f"{DAG_ID}.py", home / "dags")
    standalone.environment["AIRFLOW__CORE__DAGS_FOLDER"] = str(home / "dags")
    standalone.environment["AIRFLOW__CORE__DAGS_ARE_PAUSED_AT_CREATION"] = "False"
    standalone.environment["PYTHONPATH"] = str(ROOT)
    stack.callback(standalone.stop)
    standalone.start()
    _wait(standalone, lambda: _query(server.dsn(METADATA), WATCHED), 180)
    return standalone


def _measure(server: LocalPostgres, standalone: Standalone) -> list[float]:
    """Seconds of each part of the way."""
    with psycopg.connect(server.dsn(QUEUES), autocommit=True) as connection:
        ((msg_id,),) = connection.execute(f"SELECT pgmq.send('{QUEUE}', '{{\"name\": \"Ada\"}}')").fetchall()
    [(sent, acked)] = _wait(standalone, lambda: _query(server.dsn(QUEUES), SENT_AND_ACKED, [msg_id]), 60)
    [on_the_way] = _query(server.dsn(METADATA), ON_THE_WAY, {"since": sent})
    instants = [float(each) for each in (sent, *on_the_way, acked)]
    return [after - before for before, after in pairwise(instants)]


def _wait(standalone: Standalone, look: Callable[[], Any], seconds: float) -> Any:
    deadline = time.monotonic() + seconds
    while not (found := look()):
        standalone.check()
        if time.monotonic() > deadline:
            raise TimeoutError(standalone.tail())
        time.sleep(0.1)
    return found


def _query(dsn: str, statement: Any, values: Any = None) -> list[tuple[Any, ...]]:
    with psycopg.connect(dsn) as connection:
        try:
            return connection.execute(statement, values).fetchall()
        except psycopg.errors.UndefinedTable:  # Airflow has not made it yet
            return []
