"""A process that ticks with the installed package until its input ends; prints JSON for each tick."""

from __future__ import annotations

import json
import sys
import threading
from datetime import timedelta
from itertools import count

import psycopg

import airflow_pgmq
from airflow_pgmq.db.client import Client
from airflow_pgmq.jobs import PeriodicJob
from airflow_pgmq.services.ticking import Tick


def main(dsn: str) -> None:
    """Tick every tenth of a second; every second time as a new process would."""
    ended = threading.Event()
    threading.Thread(target=lambda: (sys.stdin.read(), ended.set()), daemon=True).start()
    job = PeriodicJob(name="a", cron="* * * * * *", queue_name="mail")
    tick = Tick(
        namespace="shop",
        owner="dag.task",
        jobs=[job],
        version=0,
        look_ahead=timedelta(seconds=2),
        grace=timedelta(minutes=5),
        dedup_window=timedelta(days=7),
    )
    client = Client(lambda: psycopg.connect(dsn))
    for number in count():
        try:
            said = {"sent": tick.run(client if number % 2 else Client(lambda: psycopg.connect(dsn))).sent}
        except Exception as exc:
            said = {"error": type(exc).__name__, "text": str(exc)}
        sys.stdout.write(json.dumps({**said, "from": airflow_pgmq.__file__}) + "\n")
        sys.stdout.flush()
        if ended.wait(0.1):
            return


if __name__ == "__main__":
    main(sys.argv[1])
