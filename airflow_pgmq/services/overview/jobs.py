"""Periodic jobs: when they send, whether they did, and what is wrong."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from datetime import datetime, timedelta, timezone
from typing import Any

from airflow_pgmq.core import problems, slot_history, slots
from airflow_pgmq.core.jobs import PeriodicJob
from airflow_pgmq.core.messages import Row
from airflow_pgmq.db.client import Client, Connection
from airflow_pgmq.db.statements import inspection
from airflow_pgmq.errors import JobNotFound
from airflow_pgmq.services.overview import installed, words

UPCOMING = 5
#: Jobs whose slots are looked up: 30 keys each.
STRIPS = 500


def jobs(
    client: Client,
    namespace: str | None = None,
    name: str | None = None,
    conn: Connection | None = None,
) -> dict[str, Any]:
    """All jobs, of one namespace or of all, and the sets that they tick in."""
    with client.connection(conn) as current:
        if not client.run(installed.is_current, current):
            return {"at": datetime.now(timezone.utc), "namespaces": [], "jobs": []}
        sets = client.run(lambda: inspection.namespaces(namespace), current)
        rows = client.run(lambda: inspection.jobs(namespace, name), current)
        declared = {_id(row): _declared(row) for row in rows}
        sent = _slots(client, rows[:STRIPS], declared, current)
    ticked = {row["namespace"]: row["ticked_at"] for row in sets}
    return {
        "at": max((row["now"] for row in (*sets, *rows)), default=datetime.now(timezone.utc)),
        "namespaces": [_namespace(row) for row in sets],
        "jobs": [
            _job(row, declared[_id(row)], sent.get(_id(row), {}), position < STRIPS)
            for position, row in enumerate(rows)
            if row["namespace"] in ticked
        ],
    }


def job(client: Client, namespace: str, name: str, conn: Connection | None = None) -> dict[str, Any]:
    """One job.

    :raises JobNotFound: the namespace has no such job
    """
    found: list[dict[str, Any]] = jobs(client, namespace, name, conn)["jobs"]
    if not found:
        raise JobNotFound(namespace, name)
    return found[0]


def _id(row: Row) -> tuple[str, str]:
    return row["namespace"], row["name"]


def _declared(row: Row) -> PeriodicJob | None:
    """The job as it was deployed; None if newer code stored what this one cannot read."""
    if not isinstance(row["definition"], Mapping):
        return None
    try:
        declared = PeriodicJob.from_definition(row["name"], row["definition"])
        return None if declared.problems(max_bytes=None) else declared
    except (KeyError, TypeError, ValueError):
        return None


def _slots(
    client: Client, rows: list[Row], declared: dict[tuple[str, str], PeriodicJob | None], conn: Connection
) -> dict[tuple[str, str], dict[datetime, slot_history.Sent]]:
    """What is known of the jobs' last slots."""
    asked = [
        (row["namespace"], row["name"], slot)
        for row in rows
        if (job := declared[_id(row)]) is not None
        for slot in slot_history.recent(job, row["now"])
    ]
    return client.run(lambda: inspection.sent_slots(asked), conn) if asked else {}


def _namespace(row: Row) -> dict[str, Any]:
    dag_id, task_id = split_owner(row["owner"])
    wrong = problems.of_namespace(
        namespace=row["namespace"], owner=row["owner"], ticked_at=row["ticked_at"], now=row["now"]
    )
    return {
        "namespace": row["namespace"],
        "owner": row["owner"],
        "dag_id": dag_id,
        "task_id": task_id,
        "version": row["version"],
        "last_tick_at": row["ticked_at"],
        "problems": [problem.as_dict() for problem in wrong],
    }


def _job(
    row: Row,
    declared: PeriodicJob | None,
    sent: Mapping[datetime, slot_history.Sent],
    with_strip: bool,
) -> dict[str, Any]:
    dag_id, task_id = split_owner(row["owner"])
    definition: dict[str, Any] = defaultdict(lambda: None)
    if isinstance(row["definition"], Mapping):
        definition.update(row["definition"])
    now = row["now"]
    wrong = problems.of_job(
        paused=row["paused"], next_slot=row["next_slot"], ticked_at=row["ticked_at"], now=now
    )
    stand = slot_history.Stand(
        now=now, watermark=row["watermark"], deployed_at=row["deployed_at"], paused=row["paused"]
    )
    past = slot_history.states(declared, stand, sent) if declared else []
    return {
        "namespace": row["namespace"],
        "name": row["name"],
        "cron": definition["cron"],
        "words": words.of_cron(str(definition["cron"] or ""), definition["seconds"] or "last"),
        "timezone": definition["timezone"],
        "queue_name": row["queue_name"],
        "version": row["version"],
        "paused": row["paused"],
        "next_slots": slots.upcoming(declared, now, UPCOMING) if declared and not row["paused"] else [],
        "last_slot": row["last_slot"],
        "last_sent_at": row["last_sent_at"],
        "lateness": _lateness(row, declared),
        "owner": row["owner"],
        "dag_id": dag_id,
        "task_id": task_id,
        # Unknown is not empty.
        "slots": [{"slot": slot, "state": state} for slot, state in past] if with_strip else None,
        "problems": [problem.as_dict() for problem in wrong],
    }


def _lateness(row: Row, declared: PeriodicJob | None) -> float | None:
    """Seconds by which the last message became visible too late; 0 for what the next tick may take."""
    if declared is None or row["last_slot"] is None or row["last_sent_at"] is None:
        return None
    key = slots.key(row["namespace"], row["name"], row["last_slot"])
    due = slots.visible_at(declared, row["last_slot"], key)
    late: timedelta = row["last_sent_at"] - due
    return late.total_seconds() if late > slot_history.LATE else 0.0


def split_owner(owner: str) -> tuple[str, str]:
    """Dag and task; where the Dag's id has dots itself, who knows the Dags must say."""
    dag_id, _, task_id = owner.partition(".")
    return dag_id, task_id
