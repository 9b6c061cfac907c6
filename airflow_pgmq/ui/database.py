"""How the page uses a queue database: few threads, short statements, and read-only except for actions."""

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
from airflow_pgmq.db.connection_cache import ConnectionCache
from airflow_pgmq.db.driver.connecting import answers
from airflow_pgmq.db.driver.translation import words
from airflow_pgmq.hooks import PgmqHook
from airflow_pgmq.ui import connections
from airflow_pgmq.ui.auth import Requester

T = TypeVar("T")

#: Threads of our own: FastAPI's also serve Airflow's workers, and a slow queue database must not block those.
THREADS = 4
WAITING = 16
STATEMENT_TIMEOUT = 5
#: Seconds that an idle connection is kept: three refreshes of a page.
IDLE_TIME = 30
#: Seconds that the server has to answer before an idle connection is used again. A round trip is worth it
#: here: a server that hangs would block one of few threads.
CHECK_TIMEOUT = 3


class _Threads:
    """The page's own threads, and how many requests use them or wait for them."""

    def __init__(self) -> None:
        self.limiter = anyio.CapacityLimiter(THREADS)
        self.requests = 0


_cache = ConnectionCache(THREADS, lambda conn: answers(conn, CHECK_TIMEOUT))
atexit.register(_cache.close)
_threads_by_loop: WeakKeyDictionary[asyncio.AbstractEventLoop, _Threads] = WeakKeyDictionary()


async def read(requester: Requester, work: Callable[[Client, Connection], T]) -> T:
    """Run `work` in a thread, on a connection that cannot write and is kept for the next request."""

    def run() -> T:
        client = _hook(_connection(requester.connection_id), STATEMENT_TIMEOUT, "reading").client
        with client.connection() as conn:
            conn.read_only = True
            return work(client, conn)

    try:
        return await in_thread(lambda: _as_http_errors(requester, STATEMENT_TIMEOUT, run))
    finally:
        asyncio.get_running_loop().call_later(IDLE_TIME, _cache.close, IDLE_TIME - 1)


async def write(requester: Requester, work: Callable[[PgmqHook], T], timeout: int | None = None) -> T:
    """Run `work` in a thread, for an action. `timeout`: seconds that a statement may take."""
    seconds = timeout or STATEMENT_TIMEOUT

    def run() -> T:
        return work(_hook(_connection(requester.connection_id), seconds, "writing"))

    return await in_thread(lambda: _as_http_errors(requester, seconds, run))


async def in_thread(work: Callable[[], T]) -> T:
    """Run blocking work in a thread, such as a read of Airflow's metadata database or a secrets backend."""
    threads = _threads()
    # The limiter's own statistics do not count requests of the same burst that do not wait yet.
    if threads.requests >= THREADS + WAITING:
        raise HTTPException(503, "Too many requests wait for a queue database that is slow; try again.")
    threads.requests += 1
    try:
        return await anyio.to_thread.run_sync(work, limiter=threads.limiter)
    finally:
        threads.requests -= 1


def _as_http_errors(requester: Requester, timeout: int, work: Callable[[], T]) -> T:
    """Turn errors into HTTP answers; only users who may read the connection see the database's texts."""
    try:
        return work()
    # The texts of these contain only what the request named.
    except (errors.QueueNotFound, errors.JobNotFound, errors.CalendarNotFound) as exc:
        raise HTTPException(404, exc.text) from exc
    except (errors.JobChanged, errors.CalendarChanged) as exc:
        raise HTTPException(409, exc.text) from exc
    except errors.JobDeclared as exc:
        raise HTTPException(422, exc.text) from exc
    except errors.InvalidInput as exc:
        # An error text of Postgres may quote stored data.
        hidden = isinstance(exc.__cause__, DriverError) and not requester.may_peek()
        raise HTTPException(422, _public_text(exc) if hidden else exc.text) from exc
    except (errors.PgmqError, DriverError) as exc:
        if isinstance(exc, errors.LimitReached):  # the page has limits of its own
            text = f"the database took longer than {timeout} s to answer"
        else:
            text = words(exc) if requester.may_peek() else _public_text(exc)
        raise HTTPException(502, f"Connection {requester.connection_id}: {text}") from exc


def _public_text(exc: Exception) -> str:
    public = exc.public if isinstance(exc, errors.PgmqError) else errors.PgmqError.public
    return f"{public}. Users who may see the connection in Airflow are told more."


def _connection(connection_id: str) -> AirflowConnection:
    connection = connections.find(connection_id)
    if connection is None:
        raise connections.missing(connection_id)
    # A short timeout, because an unreachable server blocks one of few threads.
    own = {"connect_timeout": 3, "application_name": "airflow-pgmq-ui"}
    connection.extra = json.dumps(connection.extra_dejson | own)
    return connection


def _hook(connection: AirflowConnection, timeout: int, use: str) -> PgmqHook:
    """A hook on the page's connections.

    :param use: connections of one use are not used for another one
    """
    # A slow queue ends only its own statement, not the session that also reads the other queues.
    limits = Limits(lock=timeout, statement=timeout, transaction=3 * timeout)
    hook = PgmqHook(connection.conn_id, connection=connection, limits=limits)
    key = f"{use} {timeout} {connection.get_uri()}"
    hook.client = Client(hook.get_conn, limits, cache=_cache, key=key)
    return hook


def _threads() -> _Threads:
    # One limiter for each event loop, created while it runs.
    loop = asyncio.get_running_loop()
    if (threads := _threads_by_loop.get(loop)) is None:
        threads = _threads_by_loop[loop] = _Threads()
    return threads
