"""Short statements that are run often, sent by libpq itself.

After each wait for the server, code must come back into the processor's caches. There the driver's cursor
takes a tenth of a send, a fifth on one core (measured): it finds out for any value and type how to send and
read it. These statements have values of a few types, and answer with a few small rows.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from functools import lru_cache
from itertools import count
from typing import Any

import psycopg
from psycopg import errors as pg
from psycopg.adapt import AdaptersMap
from psycopg.generators import execute
from psycopg.pq import ExecStatus, Format, TransactionStatus
from psycopg.pq.abc import PGresult

from airflow_pgmq.db.driver.values import ADAPTERS, FIRST, LAST, adapters_for, read_instant

#: So many on one connection at most: each queue has its own. Further ones are left to the cursor.
MOST = 256

_INSTANT = ADAPTERS.types["timestamptz"].oid
_PLACE = re.compile(rb"%\((\w+)\)[bst]|%%")
_numbers = count(1)


@lru_cache(maxsize=64)
def _duration(duration: timedelta) -> bytes:
    """Hours, minutes and seconds: a day of Postgres's may have 23 or 25 hours."""
    seconds, microseconds = divmod(abs(duration) // timedelta(microseconds=1), 1_000_000)
    sign = "-" if duration < timedelta(0) else ""
    return f"{sign}{seconds // 3600}:{seconds // 60 % 60:02}:{seconds % 60:02}.{microseconds:06}".encode()


def _instant(instant: datetime) -> bytes:
    if instant.tzinfo is not timezone.utc:
        raise KeyError(instant)
    if instant in (FIRST, LAST):
        return b"infinity" if instant == LAST else b"-infinity"
    return instant.isoformat().encode()


#: A value as Postgres reads it, by the cast that it has in the statement. KeyError: left to the cursor.
_WRITE: dict[type, Callable[[Any], bytes]] = {
    str: str.encode,
    int: lambda value: b"%d" % value,
    float: lambda value: repr(value).encode(),
    timedelta: _duration,
    datetime: _instant,
}


@dataclass(slots=True)
class Prepared:
    """A statement that is prepared on a connection."""

    #: What the server calls it.
    handle: bytes
    #: Of each column its place, its name and what reads a value; unknown before the first answer.
    columns: list[tuple[int, str, Callable[[bytes], Any]]] | None = None


def rows(
    query: bytes, values: Mapping[str, Any], conn: psycopg.Connection[Any], known: dict[bytes, Prepared]
) -> list[dict[str, Any]] | None:
    """Run the query in a session that is only ours; None if nothing was done and the cursor must do it.

    :param known: what is prepared in the session
    """
    # After an error inside a transaction, nothing could be done again.
    if conn.pgconn.transaction_status != TransactionStatus.IDLE:
        return None
    numbered, names = _numbered(query)
    written = _written(values, names)
    if written is None or (query not in known and len(known) >= MOST):
        return None
    with conn.lock:
        try:
            return _run(query, numbered, written, conn, known)
        except pg.InvalidSqlStatementName:
            # A user's SQL in this session was DISCARD ALL. Nothing was done.
            known.clear()
            return _run(query, numbered, written, conn, known)


def _run(
    query: bytes,
    numbered: bytes,
    written: list[bytes | None],
    conn: psycopg.Connection[Any],
    known: dict[bytes, Prepared],
) -> list[dict[str, Any]]:
    if (prepared := known.get(query)) is None:
        prepared = Prepared(b"airflow_pgmq_%d" % next(_numbers))
        conn.pgconn.send_prepare(prepared.handle, numbered)
        _answer(conn)
        known[query] = prepared
    conn.pgconn.send_query_prepared(prepared.handle, written, result_format=Format.BINARY)
    result = _answer(conn)
    if prepared.columns is None:
        adapters = adapters_for(conn)
        prepared.columns = [
            (at, (result.fname(at) or b"").decode(), _loader(result.ftype(at), adapters))
            for at in range(result.nfields)
        ]
    return _read(result, prepared.columns)


@lru_cache(maxsize=512)
def _numbered(query: bytes) -> tuple[bytes, tuple[str, ...]]:
    """The query with $1, $2… in place of its values, and their names in this order."""
    names: list[bytes] = []

    def number(found: re.Match[bytes]) -> bytes:
        name: bytes = found[1]
        if name is None:
            return b"%"
        if name not in names:
            names.append(name)
        return b"$%d" % (1 + names.index(name))

    numbered = _PLACE.sub(number, query)
    return numbered, tuple(name.decode() for name in names)


def _written(values: Mapping[str, Any], names: Iterable[str]) -> list[bytes | None] | None:
    """The values as texts; None if one has another type, or what libpq takes for the end of a text."""
    try:
        texts = [None if (value := values[name]) is None else _WRITE[type(value)](value) for name in names]
    except KeyError:
        return None
    return None if b"\0" in b"".join(filter(None, texts)) else texts


def _answer(conn: psycopg.Connection[Any]) -> PGresult:
    """Wait as the driver does, which can be interrupted.

    :raises psycopg.Error: the server refused it, or is gone
    """
    results: list[PGresult] = conn.wait(execute(conn.pgconn))
    if not results:
        raise pg.InternalError("The server gave no result.")
    if results[-1].status not in (ExecStatus.TUPLES_OK, ExecStatus.COMMAND_OK):
        raise pg.error_from_result(results[-1])
    return results[-1]


def _read(result: PGresult, columns: list[tuple[int, str, Callable[[bytes], Any]]]) -> list[dict[str, Any]]:
    rows = []
    for row in range(result.ntuples):
        values = {}
        for at, name, load in columns:
            value = result.get_value(row, at)
            values[name] = None if value is None else load(value)
        rows.append(values)
    return rows


def _loader(oid: int, adapters: AdaptersMap) -> Callable[[bytes], Any]:
    if oid == _INSTANT:
        # The driver's loader for them remembers each, which is right for one answer only.
        return read_instant
    # As the driver does it: of a type that it does not know, the bytes.
    loader = adapters.get_loader(oid, Format.BINARY) or adapters.get_loader(0, Format.BINARY)
    assert loader is not None
    return loader(oid).load
