"""Finds what is wrong with a connection's database, and says how to fix it."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Sequence
from datetime import datetime, timezone

from airflow_pgmq.core import (
    diagnoses,
    harmful_settings,
    names,
    privileges,
    problems,
    queue_shape,
    row_security,
)
from airflow_pgmq.core.batch import chunks
from airflow_pgmq.core.messages import Row
from airflow_pgmq.core.problems import Problem
from airflow_pgmq.core.queue_counts import Table
from airflow_pgmq.db import client as clients
from airflow_pgmq.db.client import Client, Connection, drive
from airflow_pgmq.db.sql import migrations
from airflow_pgmq.db.statements import doctor as asking
from airflow_pgmq.db.statements import (
    groups,
    incarnations,
    overdue,
    overview,
    pausing,
    periodic,
    watching,
)
from airflow_pgmq.db.statements.doctor import Installation
from airflow_pgmq.db.statements.overview import Catalogue
from airflow_pgmq.errors import Unanswered
from airflow_pgmq.services import faulty_queues, sampling

#: Seconds that a notification may take.
PATIENCE = 3.0


def _now() -> datetime:
    return datetime.now(timezone.utc)


def examine(
    client: Client, *, clock: Callable[[], datetime] = _now, patience: float = PATIENCE
) -> list[Problem]:
    """Everything that is wrong, errors first. It changes nothing, and sends one notification to itself.

    :param client: of the connection to examine
    :param clock: this machine's, to compare the database's with
    :param patience: seconds to wait for the notification
    """
    found = diagnoses.driver(*clients.versions())
    try:
        # A new one: how its session begins is a part of what is examined.
        with client.connection(is_new=True) as conn:
            found += _skew(conn, clock)
            installed = drive(asking.installation(), conn)
            found += judge(installed)
            if installed.server["pgmq"] and installed.server["headers"]:
                found += _examine_queues(client, conn, installed, patience)
    except Unanswered as exc:
        found.append(diagnoses.unanswered(exc))
    return sorted(found, key=lambda problem: problem.severity != "error")


def judge(installed: Installation) -> list[Problem]:
    """What is wrong with the installation, and what the role may not do."""
    role, database = installed.server["role"], installed.server["database"]
    return [
        *diagnoses.installation(installed.server, max(migrations())),
        *privileges.problems(role, installed.lacking),
        *row_security.problems(role, installed.restricted),
        *harmful_settings.problems(role, database, installed.settings),
    ]


def _skew(conn: Connection, clock: Callable[[], datetime]) -> list[Problem]:
    before = clock()
    server = drive(asking.server(), conn)
    return diagnoses.skew(server["now"], before, clock())


def _examine_queues(
    client: Client, conn: Connection, installed: Installation, patience: float
) -> list[Problem]:
    not_readable = {(row["schema"], row["name"]) for row in installed.lacking if row["work"] == "look"}
    may_look = not not_readable & {("pgmq", "pgmq"), ("pgmq", "meta")}
    known = drive(overview.tables(), conn) if may_look else None
    tables = _announcing(installed.queues, None if known is None else known.tables)
    # A standby refuses LISTEN, and no task waits there.
    passes = None if installed.server["standby"] else _notifications_pass(client, patience)
    found = diagnoses.notify(_waited_for(tables), passes)
    is_ours_current = (installed.server["migration"] or 0) >= max(migrations())
    may_look_at_ours = is_ours_current and not any(s == "airflow_pgmq" for s, _ in not_readable)
    unguarded: list[Row] = []
    if known is not None:
        found += _odd(client, conn, known)
        found += _out_of_order(client, conn, known.tables, tables)
        if may_look_at_ours:
            unguarded, failed = _unguarded(client, conn, known.tables, tables)
            found += [each for each in failed if each not in found]
    invalid = drive(asking.invalid_indexes(), conn)
    found += diagnoses.indexes(invalid, unguarded)
    if may_look_at_ours:
        found += [diagnoses.paused(each) for each in drive(pausing.paused(), conn)]
        found += [
            diagnoses.reads_on(paused, roles) for paused, roles in drive(asking.unaware_readers(), conn)
        ]
        found += [problems.recreated(row) for row in drive(incarnations.recreated(), conn).values()]
        jobs = drive(periodic.list_jobs(None), conn)
        found += diagnoses.ticks(jobs, installed.server["now"])
        if drive(overdue.is_expecting(None), conn):
            late = drive(overdue.overdue(None), conn)
            found += diagnoses.overdue(late)
    return found


def _announcing(rows: Sequence[Row], tables: Sequence[Table] | None) -> list[Row]:
    """Tables of queues by the queue's name, with the SQL that announces their messages."""
    if tables is None:
        spelled = {row["queue_name"]: row["queue_name"] for row in rows if names.is_safe(row["queue_name"])}
    else:
        spelled = {
            table.own.name.removeprefix("q_"): table.queue_name
            for table in sorted(tables, key=lambda table: table.queue_name, reverse=True)
            if not queue_shape.is_misnamed(table)
        }
    return [
        {
            **row,
            "queue_name": spelled[row["queue_name"]],
            "announce": asking.announce(row["queue_name"]),
            "use_our_trigger": asking.use_our_trigger(row["queue_name"], exists=row["our_trigger"]),
        }
        for row in rows
        if row["queue_name"] in spelled
    ]


def _odd(client: Client, conn: Connection, known: Catalogue) -> list[Problem]:
    """Queues that are not as PGMQ makes them, and others that cannot be counted."""
    wrong = [problem for each in queue_shape.problems(known.tables).values() for problem in each]
    counted = sampling.count(client, conn, known.tables, known.now)
    wrong += [each.problem for each in counted.values() if each.problem is not None]
    # Queues that share a table have the same problems.
    return [*queue_shape.unusable(known.unusable), *dict.fromkeys(wrong)]


def _waited_for(tables: Sequence[Row]) -> list[Row]:
    """Queues without the dead letter queues, on which no task waits."""
    known = {row["queue_name"] for row in tables}
    dead = {names.dead_letter_queue(name) for name in known}
    return [row for row in tables if row["queue_name"] not in dead]


def _unguarded(
    client: Client, conn: Connection, tables: Sequence[Table], rows: Sequence[Row]
) -> tuple[list[Row], list[Problem]]:
    """Queues that lack the index of `dedup_scope="queued"` and hold a key twice; problems of looking."""
    open_ = {row["queue_name"] for row in rows if not row["partitioned"] and not row["guarded"]}
    asked = [table.queue_name for table in tables if table.queue_name in open_ and table.own.whole]
    found: list[Row] = []
    problems: list[Problem] = []
    for batch in chunks(asked, 100):
        answers, failed = faulty_queues.apart(client, conn, batch, str, asking.unguarded)
        found += [{"queue_name": name, "guard": asking.guard(name)} for each in answers for name in each]
        problems += failed.values()
    return found, problems


def _out_of_order(
    client: Client, conn: Connection, tables: Sequence[Table], rows: Sequence[Row]
) -> list[Problem]:
    """Groups that nobody keeps in order; readers without order, stopped groups, acks that nobody hears of."""
    known = {row["queue_name"]: row for row in rows}
    whole = [table.queue_name for table in tables if table.queue_name in known and table.own.whole]
    found: list[Problem] = []
    for batch in chunks([name for name in whole if known[name]["ordered"]], 100):
        seen, failed = faulty_queues.apart(client, conn, batch, str, groups.out_of_order)
        found += diagnoses.order([{**known[row["queue_name"]], **row} for each in seen for row in each])
        found += failed.values()
    for batch in chunks([name for name in whole if not known[name]["ordered"]], 100):
        without, failed = faulty_queues.apart(client, conn, batch, str, groups.without_order)
        found += [diagnoses.without_order(name) for each in without for name in each]
        found += failed.values()
    return found


def _notifications_pass(client: Client, patience: float) -> bool:
    """Whether a notification from one connection reaches another."""
    channel = f"airflow_pgmq.{uuid.uuid4().hex}"
    with client.connection(is_new=True) as receiver, client.connection() as sender:
        drive(watching.listen(channel), receiver)
        drive(watching.announce(channel), sender)
        return clients.notification_arrives(receiver, patience)
