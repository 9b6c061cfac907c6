"""Letting a queue announce its inserts, if that is possible."""

from __future__ import annotations

from airflow_pgmq.core import faults, names
from airflow_pgmq.core.messages import Row
from airflow_pgmq.core.privileges import quoted
from airflow_pgmq.db.statements import Flow, Statement, doctor, on_queue, queues
from airflow_pgmq.db.statements.watching import ANNOUNCERS


def announce(queue_name: str) -> Flow[tuple[bool, str | None]]:
    """Add our notify trigger to a queue: whether that was done now, or why it cannot be done."""
    found = yield _announcer(queue_name)
    if found["our_trigger"]:
        return False, None
    if (why := _obstacle(queue_name, found)) is not None:
        # PGMQ's own trigger is enough, too.
        return False, None if found["pgmq_trigger"] else why
    announced: bool = yield from queues.enable_notify(queue_name)
    return announced, None


def _announcer(queue_name: str) -> Statement[Row]:
    table = names.quoted(*names.table(queue_name))
    our_trigger, pgmq_trigger = ANNOUNCERS
    return on_queue(
        "announcer",
        queue_name,
        lambda rows: rows[0],
        table=table,
        our_trigger=our_trigger,
        pgmq_trigger=pgmq_trigger,
    )


def _obstacle(queue_name: str, found: Row) -> str | None:
    schema, table = names.table(queue_name)
    if not found["is_table"]:
        return f"{schema}.{table} is not a table."
    if not found["installed"]:
        return f"The schema airflow_pgmq is missing: {faults.INSTALL}"
    if not found["may_use"]:
        grant = " ".join(["GRANT", "USAGE ON SCHEMA airflow_pgmq TO", quoted(found["role"]) + ";"])
        return f"Role {found['role']!r} may not use the schema airflow_pgmq. Let its owner run: {grant}"
    if not found["may_trigger"]:
        make = doctor.announce(queue_name)
        return f"The queue belongs to another role than {found['role']!r}. Let its owner run: {make}"
    return None
