"""The slots of one job, and where their messages are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from airflow_pgmq.core import names, slots
from airflow_pgmq.core.messages import Row
from airflow_pgmq.core.slot_outcomes import Message
from airflow_pgmq.db.statements import Statement, column, union
from airflow_pgmq.db.statements.inspection import SCANNED, Place


def latest(namespace: str, name: str, after: datetime, until: datetime, limit: int) -> Statement[list[Row]]:
    """The last slots in (after, until], newest first."""
    params = {"namespace": namespace, "name": name, "after": after, "until": until, "limit": limit}
    return Statement("slots_of_job", params, decode=list)


def skipped(namespace: str, name: str, after: datetime, limit: int) -> Statement[list[datetime]]:
    """The first slots after an instant that people left out."""
    params = {"namespace": namespace, "name": name, "after": after, "limit": limit}
    return Statement("skipped_ahead", params, decode=column("slot"))


def all_skipped(
    namespace: str | None, after: datetime, limit: int
) -> Statement[dict[tuple[str, str], list[datetime]]]:
    """The same of all jobs, of one namespace or of all."""

    def decode(rows: Sequence[Row]) -> dict[tuple[str, str], list[datetime]]:
        found: dict[tuple[str, str], list[datetime]] = {}
        for row in rows:
            found.setdefault((row["namespace"], row["name"]), []).append(row["slot"])
        return found

    params = {"namespace": namespace, "after": after, "limit": limit}
    return Statement("all_skipped_ahead", params, decode=decode)


def messages(
    namespace: str, name: str, sent: Mapping[str, Sequence[Row]], places: Sequence[Place]
) -> Statement[dict[datetime, Message]]:
    """Where the messages of slots are, of those that are in these places.

    :param sent: the slots by queue
    """
    parts: list[Statement[Any]] = []
    for queue_name, source in places:
        archived = source == "archive"
        rows = sent[queue_name]
        params = {
            "slots": [row["slot"] for row in rows],
            "msg_ids": [row["msg_id"] for row in rows],
            "keys": [slots.key(namespace, name, row["slot"]) for row in rows],
        }
        identifiers = {"table": names.table(queue_name, "a" if archived else "q")}
        parts.append(
            Statement(
                "slots_in_archive" if archived else "slots_in_queue", params, identifiers, list, queue_name
            )
        )

    def decode(rows: Sequence[Row]) -> dict[datetime, Message]:
        return {row.pop("slot"): Message(**row) for row in map(dict, rows)}

    return union(parts, decode)


def dead_letters(namespace: str, name: str, queue_name: str) -> Statement[list[str | None]]:
    """The keys of the job's dead letters, among the newest 20,000 of this dead letter queue."""
    return Statement(
        "dead_letters_of_job",
        {"namespace": namespace, "name": name, "scanned": SCANNED},
        {"table": names.table(queue_name)},
        column("key"),
        queue_name,
    )
