"""The user's SQL in statements of ours: rows become messages, messages become rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any, Literal, TypeAlias

from airflow_pgmq.core import faults, names, payload, user_sql
from airflow_pgmq.core.messages import Message, Row
from airflow_pgmq.db import refusals
from airflow_pgmq.db.refusals import Refusal
from airflow_pgmq.db.sql import code
from airflow_pgmq.db.statements import (
    Flow,
    Statement,
    incarnations,
    nothing,
    on_queue,
    scalar,
    sending,
)
from airflow_pgmq.errors import (
    DuplicateMessage,
    GuardMissing,
    InvalidArgument,
    InvalidName,
    InvalidQuery,
    NotSent,
)

QueryScope: TypeAlias = Literal["once", "queued", "none"]
OnConflict: TypeAlias = Literal["error", "skip"]


def send(
    queue_name: str,
    sql: str,
    parameters: Mapping[str, Any] | None,
    *,
    scope: QueryScope,
    window: timedelta,
    fail_on_duplicate: bool,
    headers: Mapping[str, Any] | None,
    ttl: float | None = None,
) -> Flow[dict[str, int]]:
    """Send the rows of a query in one statement; returns how many were sent and how many were duplicates."""
    source = user_sql.prepare(sql, parameters)
    params: dict[str, Any] = {"pgmq_headers": payload.dumps_headers(headers), "pgmq_ttl": ttl}
    if scope != "none":
        params["pgmq_sequence"] = names.sequence(queue_name)
    if scope == "once":
        params |= {"pgmq_queue": queue_name, "pgmq_window": window, "pgmq_code": code()}
        params["pgmq_relation"] = incarnations.relation(queue_name)
    statement: Statement[Row] = Statement(
        "send_query" if scope == "none" else "send_query_once" if scope == "once" else "send_query_queued",
        {**(parameters or {}), **params},
        {"table": names.table(queue_name)},
        lambda rows: rows[0],
        queue_name,
        fragments={"source": source},
        errors={
            refusals.SYNTAX_OR_ACCESS: _query_refused,
            **({refusals.UNIQUE_VIOLATION: sending.key_refused} if scope == "once" else {}),
            **({refusals.INVALID_COLUMN_REFERENCE: _guard_missing} if scope == "queued" else {}),
        },
    )
    row = yield statement
    if scope == "once" and not row["settled"]:
        yield from incarnations.settle(queue_name)
        row = yield statement
    # The transaction is rolled back.
    if row["longest_key"] > names.MAX_KEY_LENGTH:
        raise InvalidName(
            f"A dedup key of the query has {row['longest_key']} characters, "
            f"the limit is {names.MAX_KEY_LENGTH}."
        )
    yield from _check_stored(queue_name, row)
    duplicates = row["rows"] - row["sent"]
    if fail_on_duplicate and duplicates:
        raise DuplicateMessage(queue_name, [f"{duplicates} of the query's rows"])
    return {"sent": row["sent"], "duplicates": duplicates}


def _query_refused(statement: Statement[Any], refusal: Refusal) -> InvalidQuery | None:
    """The user's SQL is wrong; None if a privilege, or something of PGMQ, is missing."""
    if refusal.sqlstate == refusals.INSUFFICIENT_PRIVILEGE or "pgmq." in refusal.text:
        return None
    is_syntax = refusal.sqlstate == refusals.SYNTAX_ERROR
    hint = " It must be one statement, without a semicolon inside." if is_syntax else ""
    query = next(iter(statement.fragments.values())).strip()
    return InvalidQuery(f"Postgres refuses the query: {faults.sentence(refusal.text)}{hint} It was: {query}")


def _guard_missing(statement: Statement[Any], refusal: Refusal) -> GuardMissing | None:
    """Our ON CONFLICT was refused; the user's ORDER BY and DISTINCT ON can give the same SQLSTATE."""
    is_ours = refusal.function == "infer_arbiter_indexes"
    return sending.guard_missing(statement, refusal) if is_ours else None


def _check_stored(queue_name: str, row: Row) -> Flow[None]:
    """Check rows whose key was free but that were not sent: they lost a race, or a trigger dropped them."""
    missing = row.get("expected", 0) - row["sent"]
    if unsent := row.get("unsent"):
        missing = yield on_queue("not_queued", queue_name, scalar("missing"), keys=unsent)
    if missing > 0:
        raise NotSent(queue_name, missing)


def to_table(
    queue_name: str, table: str, columns: Sequence[str], on_conflict: OnConflict, messages: Sequence[Message]
) -> Statement[None]:
    """Insert messages into a table; keys of the message are its columns."""
    return Statement(
        "to_table" if on_conflict == "error" else "to_table_skipping",
        {"msg_ids": [message.msg_id for message in messages]},
        {"table": names.table(queue_name), "target": target(table)},
        nothing,
        queue_name,
        columns=tuple(columns),
    )


def make_batch() -> Flow[None]:
    """Make the session's table that the user's statements read as `messages`."""
    yield Statement("make_batch")
    yield _show_batch()


def _show_batch() -> Statement[None]:
    return Statement("show_batch")


def with_messages(
    queue_name: str,
    sql: str,
    parameters: Mapping[str, Any] | None,
    messages: Sequence[Message],
    *,
    is_lent: bool = False,
) -> Flow[None]:
    """Run the user's statement, which reads the batch as `messages`; its text is not changed.

    :param is_lent: whether a pooler lends the session to other clients, too: then nothing is left in it
    """
    text = user_sql.prepare(sql, parameters)
    if is_lent:
        yield Statement("lend_batch")
        yield _show_batch()
    is_first: bool | None = yield Statement(
        "fill_batch",
        {"msg_ids": [message.msg_id for message in messages]},
        {"table": names.table(queue_name)},
        lambda rows: rows[0]["is_first"] if rows else None,
        queue_name,
    )
    if is_first is False:
        raise InvalidQuery(
            "The search_path of this connection puts pg_temp behind a schema with a table `messages` of its "
            "own, so the statement would not read the batch. Without pg_temp in search_path, it comes first."
        )
    yield Statement(
        "with_messages",
        # Always with a value, since percent signs are doubled.
        {**(parameters or {}), "pgmq_queue": queue_name},
        queue_name=queue_name,
        fragments={"statement": text},
        errors={refusals.SYNTAX_OR_ACCESS: _query_refused},
    )


def target(table: str) -> tuple[str, ...]:
    """`table` or `schema.table` as an identifier; it is quoted, so capitals count."""
    parts = tuple(table.split("."))
    if not 1 <= len(parts) <= 2 or not all(parts):
        raise InvalidArgument(f"table must be 'table' or 'schema.table', not {table!r}.")
    return parts
