"""What a task's process does for one tick, from the Dag file on; prints each step's time as JSON."""

from __future__ import annotations

import json
import sys
from datetime import timedelta
from types import SimpleNamespace
from typing import Any

# The first import is Airflow's own share of the memory.
import airflow.sdk  # noqa: F401

from airflow_pgmq.jobs import PeriodicJob
from airflow_pgmq.operators import PgmqPeriodicOperator
from benchmarks.measure import Stopwatch, peak_memory

# Zones without summer time, so that each job has one slot on every day of the year.
ZONES = ("UTC", "Asia/Shanghai", "Asia/Kolkata", "Africa/Nairobi")


#: Distinct templates of jobs whose messages know their slot.
TEMPLATES = 100


def main(
    connection_id: str, namespace: str, queue_name: str, count: int, look_ahead: int, *, templates: bool
) -> dict[str, Any]:
    """Parse the Dag file, connect, tick."""
    before = peak_memory()
    with Stopwatch() as parse:
        operator = PgmqPeriodicOperator(
            task_id="tick",
            jobs=[job(number, count, queue_name, templates) for number in range(count)],
            namespace=namespace,
            look_ahead=timedelta(seconds=look_ahead),
            pgmq_conn_id=connection_id,
        )
    with Stopwatch() as connect, operator.hook.client.connection():
        pass
    with Stopwatch() as tick:
        summary = operator.execute(context())
    return {
        "parse": parse.seconds,
        "connect": connect.seconds,
        "tick": tick.seconds,
        "memory": peak_memory() - before,
        "summary": summary,
    }


def job(number: int, count: int, queue_name: str, templates: bool) -> PeriodicJob:
    """A job with a time of the day of its own."""
    message: dict[str, Any] = {"report": "daily_report", "customer": number}
    if templates:
        kind = f"report {number % TEMPLATES} of {{{{ slot_local | ds }}}}"
        message |= {"report": kind, "since": "{{ interval_start | ts }}"}
    minutes, second = divmod(number * 86_400 // count, 60)
    hour, minute = divmod(minutes, 60)
    return PeriodicJob(
        name=f"job-{number:05}",
        cron=f"{minute} {hour} * * * {second}",
        seconds="last",
        timezone=ZONES[number % len(ZONES)],
        queue_name=queue_name,
        message=message,
    )


def context() -> Any:
    """What the operator reads of a task's context."""
    task = SimpleNamespace(dag_id="benchmark", task_id="tick", run_id="scheduled__2026-01-01", map_index=-1)
    return {"ti": task, "dag_run": SimpleNamespace(run_type="scheduled")}


if __name__ == "__main__":
    connection, name, queue, jobs, ahead, *more = sys.argv[1:]
    print(json.dumps(main(connection, name, queue, int(jobs), int(ahead), templates=more == ["templates"])))
