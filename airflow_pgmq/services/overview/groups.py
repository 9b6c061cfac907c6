"""Groups of a queue that is read in order, and what holds them back."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Sequence
from typing import Any

from airflow_pgmq.core.groups import GROUP, Group
from airflow_pgmq.core.redaction import HIDDEN, hidden_values, scrub
from airflow_pgmq.db.client import Client, Connection
from airflow_pgmq.db.statements import groups as statements
from airflow_pgmq.db.statements import reading

#: So many are shown.
SHOWN = 100


def groups(
    client: Client,
    queue_name: str,
    conn: Connection | None = None,
    *,
    keys: Collection[str] = (),
    limit: int = SHOWN,
) -> dict[str, Any]:
    """The groups, those that are held back first; None of them if the queue was never read in order.

    :param keys: JSON keys whose values are hidden, also in the reasons
    :raises QueueNotFound: there is no queue of that name
    """
    with client.connection(conn) as current:
        found = client.run(lambda: statements.listed(queue_name, limit=limit), current)
        if found is None:
            return {"queue_name": queue_name, "ordered": False, "groups": [], "more": False}
        listed, more = found
        reasons = _reasons(client, queue_name, listed, keys, current)
    rows = [{**dataclasses.asdict(each), "reason": reasons.get(each.msg_id)} for each in listed]
    if GROUP in keys:
        rows = [{**row, "group": HIDDEN} for row in rows]
    return {"queue_name": queue_name, "ordered": True, "groups": rows, "more": more}


def _reasons(
    client: Client, queue_name: str, listed: Sequence[Group], keys: Collection[str], conn: Connection
) -> dict[int, str]:
    """Why groups are stopped, by message, without the values that the message has under the keys."""
    reasons = {each.msg_id: each.reason for each in listed if each.reason is not None}
    if not keys or not reasons:
        return reasons
    messages = client.run(lambda: reading.by_id(queue_name, reasons), conn)
    hidden = {
        each.msg_id: {*hidden_values(each.message, keys), *hidden_values(each.headers, keys)}
        for each in messages
    }
    return {
        msg_id: scrub(reason, hidden[msg_id], keys) if msg_id in hidden else HIDDEN
        for msg_id, reason in reasons.items()
    }
