"""The checks of the demo: each measures something, and returns the figures or raises `CheckFailed`."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import timedelta

import psycopg
from psycopg import sql

from airflow_pgmq.core import names
from demo import events, ticks
from demo.arrivals import Arrival
from demo.screen import millis
from demo.stage import CheckFailed, Stage

DAG_IDS = {"pgmq_daily_report", "pgmq_periodic_jobs", "pgmq_wait_for_messages", events.DAG_ID}
REPORTS = "reports"
ORDERS = "orders"

# The limits for "on time", on a machine that runs all of Airflow beside the reader.
TYPICAL_LATENESS = timedelta(milliseconds=100)
WORST_LATENESS = timedelta(seconds=1)
ENOUGH_ARRIVALS = 15


def airflow_runs_on_postgres(stage: Stage) -> str:
    """Every part is healthy, and Airflow's metadata is in the embedded Postgres."""
    health = stage.api.health()
    if set(health.values()) != {"healthy"}:
        raise CheckFailed(f"not everything is healthy: {health}")
    with psycopg.connect(stage.standalone.metadata_dsn) as connection:
        version = connection.info.parameter_status("server_version")
        ((stored,),) = connection.execute("SELECT count(*) FROM dag WHERE dag_id = ANY(%s)", [list(DAG_IDS)])
    if stored != len(DAG_IDS):
        raise CheckFailed(f"{stored} of {len(DAG_IDS)} Dags are in the metadata database")
    return f"Airflow {stage.api.version()}, {len(health)} parts healthy, {stored} Dags; Postgres {version}"


def rerun_sends_nothing(stage: Stage) -> str:
    """A cleared run sends with the same key again: a duplicate, also after the message was consumed."""
    dag_id, task_id = "pgmq_daily_report", "send_report"
    run_id = stage.api.trigger(dag_id)
    first = stage.finished(dag_id, run_id, task_id)
    second = stage.rerun(dag_id, run_id, task_id)
    waiting = _reports(stage, run_id)
    stage.hook.archive(REPORTS, stage.hook.read(REPORTS, max_messages=10, visibility_timeout=30))
    third = stage.rerun(dag_id, run_id, task_id)
    left = _reports(stage, run_id)
    statuses = [result["status"] for result in (first, second, third)]
    if statuses != ["sent", "duplicate", "duplicate"] or second["msg_id"] != first["msg_id"]:
        raise CheckFailed(f"the runs returned {first}, {second}, {third}")
    if (waiting, left) != (1, 0):
        raise CheckFailed(f"the queue held {waiting} messages after the second run, {left} after the third")
    return f"run: {statuses[0]}; cleared: {statuses[1]}; consumed, then cleared again: {statuses[2]}"


def _reports(stage: Stage, run_id: str) -> int:
    """How many messages of that run's report are in the queue."""
    statement = "SELECT count(*) FROM pgmq.q_reports WHERE headers ->> 'dedup_key' = %(key)s"
    ((count,),) = stage.query(statement, key=f"daily_report/{run_id}")
    return count


def message_wakes_consumer(stage: Stage) -> str:
    """A deferred Dag run takes the message that it waits for, and ends."""
    dag_id = "pgmq_wait_for_messages"

    def waiting() -> str | None:
        for run in stage.api.runs(dag_id):
            if run["state"] == "running":
                run_id = run["dag_run_id"]
                task = stage.api.task(dag_id, run_id, "wait_for_paid_orders")
                return run_id if task["state"] == "deferred" else None
        return None

    run_id = stage.wait_for("a deferred consumer", waiting)
    order = 1000 + int(time.time()) % 1000
    unpaid = stage.hook.send(ORDERS, {"order": order + 1, "status": "open"})
    paid = stage.hook.send(ORDERS, {"order": order, "status": "paid"})
    shipped = stage.finished(dag_id, run_id, "ship")
    if shipped != [order]:
        raise CheckFailed(f"order {order} was paid, but {shipped} were shipped")
    task = stage.api.task(dag_id, run_id, "ship")
    ((enqueued, archived),) = stage.query(
        "SELECT enqueued_at, archived_at FROM pgmq.a_orders WHERE msg_id = %(msg_id)s", msg_id=paid.msg_id
    )
    if not stage.query("SELECT 1 FROM pgmq.q_orders WHERE msg_id = %(msg_id)s", msg_id=unpaid.msg_id):
        raise CheckFailed("the order that is not paid left the queue too")
    taken, done = archived - enqueued, ticks.instant(task["end_date"]) - enqueued
    return (
        f"acked after {seconds(taken)}, its run's last task done after {seconds(done)}; an unpaid one stayed"
    )


def periodic_dag_ticks(stage: Stage) -> str:
    """Two scheduled runs in a row succeed; their messages are in the queue, invisible until their time."""

    def look() -> list[ticks.Tick] | None:
        finished = stage.scheduled_ticks()
        return finished if len(finished) >= 2 else None

    finished = stage.wait_for("the second tick", look, 150)
    if failed := [tick for tick in finished if tick.state != "success"]:
        raise CheckFailed(f"{len(failed)} of {len(finished)} ticks failed")
    minutes = {tick.minute for tick in finished}
    if len(minutes) != len(finished) or max(minutes) - min(minutes) != timedelta(minutes=len(finished) - 1):
        raise CheckFailed(f"the ticks are not a minute apart: {sorted(minutes)}")
    cache = stage.hook.metrics("cache")
    if cache.queue_length <= cache.queue_visible_length:
        raise CheckFailed("no message waits for its slot")
    latest = finished[-1]
    sent = ", ".join(str(tick.summary["sent"]) for tick in finished)
    return (
        f"ticks sent {sent} messages; the last one started {seconds(latest.started_late)} after its minute;"
        f" {cache.queue_length - cache.queue_visible_length} messages wait invisibly in one queue"
    )


def cleared_tick_doubles_nothing(stage: Stage) -> str:
    """A cleared tick runs again, and still each slot of each job has one message."""
    tick = stage.wait_for("a tick", stage.scheduled_ticks)[-1]
    again = stage.rerun(ticks.DAG_ID, tick.run_id, ticks.TASK_ID)
    slots, doubled = _slots(stage)
    if doubled:
        raise CheckFailed(f"{doubled} slots have more than one message")
    return f"cleared, it sent {again['sent']} new slots; {slots} slots so far, {doubled} of them twice"


def messages_are_on_time(stage: Stage) -> str:
    """The reader gets each message at its slot: never before, and at most a little later."""

    def look() -> list[Arrival] | None:
        ahead = [arrival for arrival in stage.reader.arrivals if arrival.ahead]
        return ahead if len(ahead) >= ENOUGH_ARRIVALS else None

    arrivals = stage.wait_for(f"{ENOUGH_ARRIVALS} messages", look, 150)
    late = sorted(arrival.lateness for arrival in arrivals)
    typical = late[len(late) // 2]
    figure = f"{len(late)} messages late by {millis(typical)} (median), {millis(late[-1])} (worst)"
    if late[0] < timedelta():
        raise CheckFailed(f"a message came {millis(-late[0])} before its slot")
    if typical > TYPICAL_LATENESS or late[-1] > WORST_LATENESS:
        raise CheckFailed(f"{figure}; allowed are {millis(TYPICAL_LATENESS)} and {millis(WORST_LATENESS)}")
    return f"{figure}, none early"


def backfill_is_refused(stage: Stage) -> str:
    """A backfill run of Airflow enqueues its own minute's slots; all of them were sent long before."""

    def look() -> list[ticks.Tick]:
        finished = stage.scheduled_ticks()
        # Slots before the end of the first tick were not sent.
        return [tick for tick in finished if tick.minute - timedelta(minutes=1) > finished[0].ended]

    tick = stage.wait_for("a minute to fill again", look)[-1]
    tries = stage.api.task(ticks.DAG_ID, tick.run_id, ticks.TASK_ID)["try_number"]
    stage.api.backfill(ticks.DAG_ID, tick.minute, tick.minute)
    summary = stage.finished(ticks.DAG_ID, tick.run_id, ticks.TASK_ID, after=tries)
    if summary["sent"] or not summary["duplicates"]:
        raise CheckFailed(f"the backfill of {tick.minute:%H:%M} returned {summary}")
    return (
        f"{summary['slots']} slots of {tick.minute:%H:%M} again: {summary['duplicates']} duplicates, 0 sent"
    )


def no_slot_is_missing(stage: Stage) -> str:
    """Between its first and its last slot each regular job has every slot, once; counted by SQL alone."""
    statement = sql.SQL(
        "SELECT count(DISTINCT slot), extract(epoch FROM max(slot) - min(slot))::int"
        " FROM ({}) AS slots WHERE job = %(job)s"
    )
    figures = []
    for job, step in {"health-probe": 10, "cache-warm": 30, "usage-metering": 60}.items():
        ((count, span),) = stage.query(statement.format(_all_slots(stage)), job=job)
        if count != span / step + 1:
            raise CheckFailed(f"{job} has {count} slots in {span} s instead of {span / step + 1:.0f}")
        figures.append(f"{job} {count}")
    slots, doubled = _slots(stage)
    if doubled:
        raise CheckFailed(f"{doubled} slots have more than one message")
    return f"{slots} slots, none twice, none missing in {', '.join(figures)}"


def _all_slots(stage: Stage) -> sql.Composed:
    """Job and slot of every message of the periodic jobs, waiting or archived."""
    tables = (names.table(queue_name, kind) for queue_name in stage.reader.queues for kind in "qa")
    select = sql.SQL("SELECT headers ->> 'job' AS job, (headers ->> 'slot')::timestamptz AS slot FROM {}")
    return sql.SQL(" UNION ALL ").join(select.format(sql.Identifier(*table)) for table in tables)


def _slots(stage: Stage) -> tuple[int, int]:
    """How many slots have a message, and how many have more than one."""
    statement = sql.SQL(
        "SELECT count(*), count(*) FILTER (WHERE messages > 1)"
        " FROM (SELECT count(*) AS messages FROM ({}) AS slots GROUP BY job, slot) AS counted"
    )
    ((slots, doubled),) = stage.query(statement.format(_all_slots(stage)))
    return slots, doubled


def seconds(duration: timedelta) -> str:
    """Seconds in a readable form."""
    return f"{duration.total_seconds():.1f} s"


#: In the order that wastes the least time: the slots are counted last.
CHECKS: dict[str, Callable[[Stage], str]] = {
    "Airflow runs on the embedded Postgres": airflow_runs_on_postgres,
    "A cleared and re-run task sends nothing again": rerun_sends_nothing,
    "A message wakes a consumer Dag": message_wakes_consumer,
    "A message starts a Dag run": events.message_starts_dag_run,
    "The periodic Dag ticks every minute": periodic_dag_ticks,
    "A cleared tick doubles no slot": cleared_tick_doubles_nothing,
    "Messages are visible at their slots": messages_are_on_time,
    "A backfill of sent slots sends nothing": backfill_is_refused,
    "Every slot has exactly one message": no_slot_is_missing,
}
