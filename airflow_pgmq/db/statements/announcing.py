"""Letting a queue announce its inserts, if that is possible."""

from __future__ import annotations

from airflow_pgmq.core import faults, names
from airflow_pgmq.core.messages import Row
from airflow_pgmq.core.privileges import quoted
from airflow_pgmq.db.statements import Flow, Statement, as_text, doctor, on_queue, only, queues


def announce(queue_name: str) -> Flow[tuple[bool, str | None]]:
    """Add our notify trigger to a queue: whether that was done now, or why it cannot be done."""
    found = yield _announcer(queue_name, "notify_insert", names.NOTIFY_TRIGGER, names.PGMQ_TRIGGER)
    if found["our_trigger"]:
        return False, None
    if (why := _obstacle(queue_name, found, doctor.announce(queue_name))) is not None:
        # PGMQ's own trigger is enough, too.
        return False, None if found["pgmq_trigger"] else why
    announced: bool = yield from queues.enable_notify(queue_name)
    return announced, None


def announce_settled(queue_name: str) -> Flow[tuple[bool, str | None]]:
    """Let a queue that is read in order announce its acks: whether that was done now, or why it cannot be."""
    found = yield _announcer(queue_name, "notify_settled", names.SETTLED_TRIGGER)
    if found["our_trigger"]:
        return False, None
    trigger: Statement[None] = on_queue("announce_settled", queue_name)
    if (why := _obstacle(queue_name, found, as_text(trigger))) is not None:
        return False, why
    yield queues.lock(queue_name)
    yield trigger
    return True, None


def _announcer(queue_name: str, function: str, our_trigger: str, pgmq_trigger: str = "") -> Statement[Row]:
    return on_queue(
        "announcer",
        queue_name,
        only,
        table=names.quoted(*names.table(queue_name)),
        function=function,
        our_trigger=our_trigger,
        pgmq_trigger=pgmq_trigger,
    )


def _obstacle(queue_name: str, found: Row, make: str) -> str | None:
    """Why the role cannot add the trigger that `make` makes."""
    schema, table = names.table(queue_name)
    if not found["is_table"]:
        return f"{schema}.{table} is not a table."
    if not found["installed"]:
        return f"The schema airflow_pgmq is missing: {faults.INSTALL}"
    if not found["may_use"]:
        grant = " ".join(["GRANT", "USAGE ON SCHEMA airflow_pgmq TO", quoted(found["role"]) + ";"])
        return f"Role {found['role']!r} may not use the schema airflow_pgmq. Let its owner run: {grant}"
    if not found["may_trigger"]:
        return f"The queue belongs to another role than {found['role']!r}. Let its owner run: {make}"
    return None
