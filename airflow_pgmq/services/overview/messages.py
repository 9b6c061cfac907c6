"""Messages: looked at without a read, so nothing changes for their consumers."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timezone
from typing import Any

from airflow_pgmq.core import message_view, queue_shape
from airflow_pgmq.core.batch import chunks
from airflow_pgmq.core.messages import Message, Row
from airflow_pgmq.db.client import Client, Connection
from airflow_pgmq.db.statements import inspection
from airflow_pgmq.db.statements import overview as queue_statements
from airflow_pgmq.db.statements.inspection import Search
from airflow_pgmq.errors import InvalidName
from airflow_pgmq.services import faulty_queues
from airflow_pgmq.services.overview import installed

#: Messages of a task that are shown.
SENT = 200


def messages(
    client: Client, search: Search, *, keys: Collection[str] = (), conn: Connection | None = None
) -> dict[str, Any]:
    """Messages of a queue or archive, and where to continue; null: that was all.

    A search by job or key looks through some thousands of messages at a time. It may find none in them
    although later ones match.

    :param search: which messages
    :param keys: JSON keys whose values are hidden
    :raises QueueNotFound: there is no such queue
    :raises InvalidName: the key or job is not text that Postgres can hold
    """
    with client.connection(conn) as current:
        found, following = _page(client, search, current)
    now = found[0]["now"] if found else datetime.now(timezone.utc)
    return {
        "messages": [message_view.message(row, now, peek=search.peek, keys=keys) for row in found],
        "next_after": None if following is None else message_view.number(following),
    }


def peek(client: Client, search: Search, *, conn: Connection | None = None) -> list[Message]:
    """The first messages of a search, which continues until it has enough of them.

    With a dedup key, the search ends at the message that has the key.
    """
    search = replace(search, peek=True, whole=True)
    found: list[Row] = []
    page = search
    with client.connection(conn) as current:
        while len(found) < search.limit:
            rows, following = _page(client, page, current)
            found += rows
            if following is None or (rows and search.dedup_key is not None):
                break
            page = replace(search, after=following)
    return [Message.from_row(row) for row in found[: search.limit]]


def _page(client: Client, search: Search, conn: Connection) -> tuple[list[Row], int | None]:
    """One page of a search, and where to continue."""
    if "\x00" in f"{search.dedup_key}{search.job}":
        raise InvalidName("A dedup key or the name of a job cannot have a NUL character.")
    found = _by_ledger(client, search, conn) or client.run(lambda: inspection.messages(search), conn)
    return found, _following(client, search, found, conn)


def _by_ledger(client: Client, search: Search, conn: Connection) -> list[Row]:
    """The message of the key by the ledger, which is faster than a scan."""
    if search.dedup_key is None or search.after is not None or not client.run(installed.is_current, conn):
        return []
    key = search.dedup_key
    ids = client.run(lambda: inspection.ledger_message(search.queue_name, key), conn)
    if not ids:
        return []
    return client.run(lambda: inspection.messages(replace(search, msg_id=ids[0])), conn)


def _following(client: Client, search: Search, found: Sequence[Row], conn: Connection) -> int | None:
    """The id to continue after; None: that was all."""
    if search.msg_id is not None:
        return None
    if len(found) >= search.limit:
        return int(found[-1]["msg_id"])
    if not search.is_filtered:
        return None
    stopped = client.run(lambda: inspection.scanned(search), conn)
    return None if stopped is None else int(stopped["msg_id"])


def sent(
    client: Client,
    source: Mapping[str, Any],
    *,
    peek: bool = False,
    keys: Collection[str] = (),
    conn: Connection | None = None,
) -> dict[str, Any]:
    """Messages that a Dag, run or task has sent, newest first, among the newest of every queue.

    Queues and archives that could not be searched are named in `left_out`.

    :param source: what their header `source` contains: `dag_id`, `run_id`, `task_id`, `map_index`
    :param peek: whether payloads are shown
    :param keys: JSON keys whose values are hidden
    """
    with client.connection(conn) as current:
        tables = client.run(queue_statements.tables, current).tables
        left_out = [
            (table.queue_name, why) for table in tables for why in queue_shape.left_out(table, archive=True)
        ]
        rows: list[Row] = []
        places = [place for table in tables for place in inspection.places(table)]
        for batch in chunks(places, queue_statements.AT_ONCE):
            answers, failed = faulty_queues.apart(
                client,
                current,
                batch,
                lambda place: place[0],
                lambda parts: inspection.sent_by(parts, source, peek=peek, limit=SENT),
            )
            rows += [row for answer in answers for row in answer]
            left_out += [(name, problem.text) for name, problem in failed.items()]
    rows.sort(key=lambda row: (row["enqueued_at"], row["msg_id"]), reverse=True)
    return {
        "messages": [
            {"queue_name": row["queue_name"], **message_view.message(row, row["now"], peek=peek, keys=keys)}
            for row in rows[:SENT]
        ],
        "left_out": [{"queue_name": name, "text": why} for name, why in dict.fromkeys(left_out)],
    }
