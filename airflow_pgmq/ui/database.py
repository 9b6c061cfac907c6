"""How the page reaches a queue database: few threads, short statements, and no writes unless asked for."""

from __future__ import annotations

import asyncio
import atexit
import json
from collections.abc import Callable
from typing import TypeVar
from weakref import WeakKeyDictionary

import anyio
from airflow.models import Connection as AirflowConnection
from fastapi import HTTPException

from airflow_pgmq import errors
from airflow_pgmq.core.limits import Limits
from airflow_pgmq.db.client import Client, Connection, DriverError
from airflow_pgmq.db.driver.translation import words
from airflow_pgmq.hooks import PgmqHook
from airflow_pgmq.ui import connections
from airflow_pgmq.ui.auth import Asker
from airflow_pgmq.ui.kept import Kept

T = TypeVar("T")

#: FastAPI's own threads serve Airflow's workers too: a slow queue database must not take them.
THREADS = 4
WAITING = 16
STATEMENT_TIMEOUT = 5
#: Seconds that an idle connection is kept: three refreshes of a page.
KEPT_FOR = 30


class _Gate:
    """The page's own threads, and how many requests use them or wait for them."""

    def __init__(self) -> None:
        self.limiter = anyio.CapacityLimiter(THREADS)
        self.inside = 0


_kept = Kept(THREADS)
atexit.register(_kept.close)
_gates: WeakKeyDictionary[asyncio.AbstractEventLoop, _Gate] = WeakKeyDictionary()


async def read(asker: Asker, work: Callable[[Client, Connection], T]) -> T:
    """Run `work` in a thread, on a connection that cannot write and is kept for the next request."""

    def looking() -> T:
        connection = _connection(asker.connection_id)
        hook = _hook(connection, STATEMENT_TIMEOUT)
        with _kept.connection(connection.get_uri(), hook.client.open) as conn:
            conn.read_only = True
            return work(hook.client, conn)

    try:
        return await off_the_loop(lambda: _told(asker, STATEMENT_TIMEOUT, looking))
    finally:
        asyncio.get_running_loop().call_later(KEPT_FOR, _kept.close, KEPT_FOR - 1)


async def write(asker: Asker, work: Callable[[PgmqHook], T], timeout: int | None = None) -> T:
    """Run `work` in a thread, for an action; how many seconds a statement may take."""
    seconds = timeout or STATEMENT_TIMEOUT

    def acting() -> T:
        return work(_hook(_connection(asker.connection_id), seconds))

    return await off_the_loop(lambda: _told(asker, seconds, acting))


async def off_the_loop(work: Callable[[], T]) -> T:
    """Run what blocks: Airflow's metadata database or secrets backend."""
    gate = _gate()
    # Not the limiter's own statistics: requests that come in one burst are not among those waiting yet.
    if gate.inside >= THREADS + WAITING:
        raise HTTPException(503, "Too many requests wait for a queue database that is slow; try again.")
    gate.inside += 1
    try:
        return await anyio.to_thread.run_sync(work, limiter=gate.limiter)
    finally:
        gate.inside -= 1


def _told(asker: Asker, timeout: int, work: Callable[[], T]) -> T:
    """What went wrong, as an answer; the database's words are for who may read the connection."""
    try:
        return work()
    # The texts of these hold nothing but what was asked for.
    except (errors.QueueNotFound, errors.JobNotFound) as exc:
        raise HTTPException(404, str(exc)) from exc
    except errors.InvalidInput as exc:
        # Where Postgres refused, its words may quote what is stored.
        hidden = isinstance(exc.__cause__, DriverError) and not asker.may_peek()
        raise HTTPException(422, _without_words(exc) if hidden else str(exc)) from exc
    except (errors.PgmqError, DriverError) as exc:
        if isinstance(exc, errors.LimitReached):  # the page has limits of its own
            text = f"the database took longer than {timeout} s to answer"
        else:
            text = words(exc) if asker.may_peek() else _without_words(exc)
        raise HTTPException(502, f"Connection {asker.connection_id}: {text}") from exc


def _without_words(exc: Exception) -> str:
    public = exc.public if isinstance(exc, errors.PgmqError) else errors.PgmqError.public
    return f"{public}. Users who may see the connection in Airflow are told more."


def _connection(connection_id: str) -> AirflowConnection:
    connection = connections.find(connection_id)
    if connection is None:
        raise connections.missing(connection_id)
    # A thread that waits for a server that has gone is one of few.
    own = {"connect_timeout": 3, "application_name": "airflow-pgmq-ui"}
    connection.extra = json.dumps(connection.extra_dejson | own)
    return connection


def _hook(connection: AirflowConnection, timeout: int) -> PgmqHook:
    # A slow queue ends its own statement, not the session in which the others are looked at.
    limits = Limits(lock=timeout, statement=timeout, transaction=3 * timeout)
    return PgmqHook(connection.conn_id, connection=connection, limits=limits)


def _gate() -> _Gate:
    # One for each event loop, made on it.
    loop = asyncio.get_running_loop()
    if (gate := _gates.get(loop)) is None:
        gate = _gates[loop] = _Gate()
    return gate
