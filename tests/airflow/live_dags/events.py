"""The Dags of `test_events_*.py`: each drains a queue or notes what its events carry."""

from __future__ import annotations

import importlib.util
import time
from typing import Any

import airflow.sdk
from airflow.sdk import Asset, AssetWatcher, dag, task

from airflow_pgmq.hooks import PgmqHook
from airflow_pgmq.messages import Message
from airflow_pgmq.triggers import PgmqEventTrigger
from tests.airflow.live_dags.bursts import BurstTrigger

HAS_SHARED_STREAMS = importlib.util.find_spec("airflow.triggers.shared_stream") is not None
NOTE = "INSERT INTO processed (queue_name, msg_id, run_id) VALUES (%s, %s, %s)"


#: What makes a killed triggerer's messages come back soon.
QUICK = {"visibility_timeout": 5, "quiet_after": 3, "unmatched_delay": 5}


def asset(name: str, trigger: Any) -> Asset:
    return Asset(
        f"pgmq://pgmq_default/{name}", watchers=[AssetWatcher(name=f"{name}_watcher", trigger=trigger)]
    )


def draining(
    dag_id: str, busy_for: float = 0, seconds_each: float = 0, batch_size: int = 50, **options: Any
) -> None:
    """A Dag that the doorbell of the queue of the same name starts; it runs on for a while after its work."""
    bell = PgmqEventTrigger(queue_name=dag_id, ring_interval=3)

    @dag(dag_id=dag_id, schedule=[asset(dag_id, bell)], **options)
    def make() -> None:
        @task.pgmq(queue_name=dag_id, transactional=True, batch_size=batch_size)
        def drain(messages: list[Message], conn: Any, run_id: str) -> None:
            """Note and ack in one transaction."""
            # The work.
            time.sleep(seconds_each * len(messages))
            conn.cursor().executemany(NOTE, [(dag_id, each.msg_id, run_id) for each in messages])

        @task
        def linger() -> None:
            # Nothing to wait for: the run is to last.
            time.sleep(busy_for)

        drained = drain(run_id="{{ run_id }}")
        if busy_for:
            drained >> linger()

    make()


def noting(dag_id: str, trigger: Any, **options: Any) -> None:
    """A Dag that notes the messages in the events of each of its runs."""
    schedule: Any = [asset(dag_id, trigger)]
    if timetable := getattr(airflow.sdk, "AssetTriggeredTimetable", None):
        # Airflow 3.4 would start hundreds of runs.
        schedule = timetable(schedule[0], batch_asset_events=True)

    @dag(dag_id=dag_id, schedule=schedule, **options)
    def make() -> None:
        @task
        def note(triggering_asset_events: Any = None, run_id: str | None = None) -> int:
            rows = [
                (dag_id, message["msg_id"], run_id)
                for events in triggering_asset_events.values()
                for event in events
                for message in event.extra["payload"]["messages"]
            ]
            with PgmqHook().get_conn() as conn:
                conn.cursor().executemany(NOTE, rows)
            return len(rows)

        note()

    make()


draining("burst")
draining("bursts")
draining("narrow", busy_for=4, max_active_runs=1)
draining("slow", seconds_each=1, batch_size=1, max_active_runs=1)
draining("sleeping")
draining("shaken")
noting("plain", BurstTrigger("plain"))

if HAS_SHARED_STREAMS:
    payload: dict[str, Any] = {"deliver": "payload", **QUICK}
    noting("flow", PgmqEventTrigger(queue_name="flow", **payload))
    # The same reader, and a condition of its own.
    noting("flow_even", PgmqEventTrigger(queue_name="flow", condition={"even": True}, **payload))
    noting("batches", PgmqEventTrigger(queue_name="batches", per="batch", batch_size=20, **payload))
    wanted = {"condition": {"wanted": True}, "unmatched": "dead_letter"}
    noting("choosy", PgmqEventTrigger(queue_name="choosy", **wanted, **payload))
    # Few runs, so that the machine is busy with triggerers.
    noting("storm", PgmqEventTrigger(queue_name="storm", **payload), max_active_runs=1)
    noting("napping", PgmqEventTrigger(queue_name="napping", **payload))
