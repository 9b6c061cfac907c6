"""The check that a message starts a Dag run, with the time that each part of the way takes."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import psycopg
from psycopg.rows import tuple_row

from demo.stage import CheckFailed, Stage

DAG_ID = "pgmq_event_driven"
SIGNUPS = "signups"

WATCHED = "SELECT 1 FROM trigger WHERE classpath LIKE '%PgmqEventTrigger' AND triggerer_id IS NOT NULL"
#: The time includes Airflow's part: the event, the scheduler's loop, the start of the task's process.
EVENT = "SELECT timestamp FROM asset_event WHERE timestamp > %s ORDER BY timestamp LIMIT 1"
RUN = """
    SELECT run.queued_at, task.start_date
    FROM dag_run AS run JOIN task_instance AS task USING (dag_id, run_id)
    WHERE dag_id = %s AND run.queued_at > %s AND task.start_date IS NOT NULL
    ORDER BY run.queued_at LIMIT 1
"""


def message_starts_dag_run(stage: Stage) -> str:
    """A message rings, a run starts, and its task takes all messages, also those that come later."""
    stage.wait_for("the doorbell to be watched", lambda: _metadata(stage, WATCHED))
    first = stage.hook.send(SIGNUPS, {"name": "Ada"})
    ((enqueued,),) = stage.query(
        "SELECT enqueued_at FROM pgmq.q_signups WHERE msg_id = %(msg_id)s", msg_id=first.msg_id
    )
    archived = stage.wait_for("the first sign-up to be greeted", lambda: _archived(stage, first.msg_id))
    ((rung,),) = _metadata(stage, EVENT, enqueued)
    ((queued, started),) = _metadata(stage, RUN, DAG_ID, enqueued)
    burst = stage.hook.send_batch(SIGNUPS, [{"name": f"user {n}"} for n in range(200)])
    stage.wait_for("200 more to be greeted", lambda: _archived(stage, max(each.msg_id for each in burst)))
    if left := stage.hook.metrics(SIGNUPS).queue_length:
        raise CheckFailed(f"{left} sign-ups are still in the queue")
    runs = len([run for run in stage.api.runs(DAG_ID) if run["run_type"] == "asset_triggered"])
    parts = {
        "event stored": rung - enqueued,
        "run queued": queued - rung,
        "task started": started - queued,
        "acked": archived - started,
    }
    figures = ", ".join(f"{part} +{_seconds(duration)}" for part, duration in parts.items())
    return f"{figures} = {_seconds(archived - enqueued)}; 200 more in a burst, all acked by {runs} runs"


def _archived(stage: Stage, msg_id: int) -> datetime | None:
    rows = stage.query("SELECT archived_at FROM pgmq.a_signups WHERE msg_id = %(msg_id)s", msg_id=msg_id)
    return rows[0][0] if rows else None


def _metadata(stage: Stage, statement: Any, *values: Any) -> list[tuple[Any, ...]]:
    with psycopg.connect(stage.standalone.metadata_dsn) as connection:
        return connection.cursor(row_factory=tuple_row).execute(statement, values or None).fetchall()


def _seconds(duration: timedelta) -> str:
    return f"{duration.total_seconds():.2f} s"
