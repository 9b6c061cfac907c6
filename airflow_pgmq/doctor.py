"""Finds what is wrong with a connection's database: asks, judges, and says how each fault is mended."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Sequence
from datetime import datetime, timezone

from airflow_pgmq import client as clients
from airflow_pgmq.client import Client, Connection, drive
from airflow_pgmq.core import findings, names, rights
from airflow_pgmq.core.batch import chunks
from airflow_pgmq.core.messages import Row
from airflow_pgmq.core.problems import Problem
from airflow_pgmq.errors import Unanswered
from airflow_pgmq.sql import migrations
from airflow_pgmq.statements import doctor as asking
from airflow_pgmq.statements import periodic, queues, watching
from airflow_pgmq.statements.doctor import Standing

#: Seconds that a notification may take.
PATIENCE = 3.0


def _now() -> datetime:
    return datetime.now(timezone.utc)


def examine(
    client: Client, *, clock: Callable[[], datetime] = _now, patience: float = PATIENCE
) -> list[Problem]:
    """Everything that is wrong, errors first. Changes nothing; sends one notification to itself.

    :param client: of the connection to examine
    :param clock: this machine's, to compare the database's with
    :param patience: seconds to wait for the notification
    """
    found = findings.driver(*clients.versions())
    try:
        with client.connection() as conn:
            found += _skew(conn, clock)
            standing = drive(asking.standing(), conn)
            found += judge(standing)
            if standing.server["pgmq"] and standing.server["headers"]:
                found += _examine_queues(client, conn, standing, patience)
    except Unanswered as exc:
        found.append(findings.unanswered(exc))
    return sorted(found, key=lambda problem: problem.severity != "error")


def judge(standing: Standing) -> list[Problem]:
    """What is wrong with the installation, and what the role may not do."""
    newest = max(migrations())
    return findings.installation(standing.server, newest) + rights.problems(
        standing.server["role"], standing.lacking
    )


def _skew(conn: Connection, clock: Callable[[], datetime]) -> list[Problem]:
    before = clock()
    server = drive(asking.server(), conn)
    return findings.skew(server["now"], before, clock())


def _examine_queues(client: Client, conn: Connection, standing: Standing, patience: float) -> list[Problem]:
    barred = {(row["schema"], row["name"]) for row in standing.lacking if row["work"] == "look"}
    may_look = not barred & {("pgmq", "pgmq"), ("pgmq", "meta")}
    listed = drive(queues.list_all(), conn) if may_look else []
    spelled = {queue.queue_name.lower(): queue.queue_name for queue in listed}
    tables = [
        {
            **row,
            "queue_name": spelled.get(row["queue_name"], row["queue_name"]),
            "announce": asking.announce(row["queue_name"]),
            "use_ours": asking.use_ours(row["queue_name"], stands=row["ours"]),
        }
        for row in standing.queues
        if names.is_safe(row["queue_name"]) and (not may_look or row["queue_name"] in spelled)
    ]
    # A standby refuses LISTEN, and nobody waits there.
    passes = None if standing.server["standby"] else _notifications_pass(client, patience)
    found = findings.notify(_waited_for(tables), passes)
    may_look_at_ours = bool(standing.server["migration"]) and not any(s == "airflow_pgmq" for s, _ in barred)
    unguarded = _unguarded(conn, tables, barred) if may_look and may_look_at_ours else []
    invalid = drive(asking.invalid_indexes(), conn)
    found += findings.indexes(invalid, unguarded)
    if may_look_at_ours:
        jobs = drive(periodic.list_jobs(None), conn)
        found += findings.ticks(jobs, standing.server["now"])
    return found


def _waited_for(tables: Sequence[Row]) -> list[Row]:
    """Without dead letter queues: nobody waits for those."""
    known = {row["queue_name"] for row in tables}
    dead = {names.dead_letter_queue(name) for name in known}
    return [row for row in tables if row["queue_name"] not in dead]


def _unguarded(conn: Connection, tables: Sequence[Row], barred: set[tuple[str, str]]) -> list[Row]:
    """Queues that lack the index of `dedup_scope="queued"` and hold a key twice."""
    asked = [
        row["queue_name"]
        for row in tables
        if not row["partitioned"] and not row["guarded"] and names.table(row["queue_name"]) not in barred
    ]
    found = [name for part in chunks(asked, 100) for name in drive(asking.unguarded(part), conn)]
    return [{"queue_name": name, "guard": asking.guard(name)} for name in found]


def _notifications_pass(client: Client, patience: float) -> bool:
    """Whether a notification from one connection reaches another."""
    channel = f"airflow_pgmq.{uuid.uuid4().hex}"
    with client.connection() as ear, client.connection() as mouth:
        drive(watching.listen(channel), ear)
        drive(watching.announce(channel), mouth)
        return clients.hears(ear, patience)
