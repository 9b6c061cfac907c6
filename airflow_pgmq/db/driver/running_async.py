"""The same on the event loop, from the same descriptions."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Mapping
from contextlib import nullcontext, suppress
from functools import partial
from typing import Any, TypeVar

import psycopg

from airflow_pgmq import errors
from airflow_pgmq.core.limits import Limits
from airflow_pgmq.db.driver import choices, running, sessions
from airflow_pgmq.db.driver.composing import is_one, text
from airflow_pgmq.db.driver.connecting import DEFAULTS
from airflow_pgmq.db.driver.failures import ATTEMPTS, NOT_THERE, RETRYABLE
from airflow_pgmq.db.driver.translation import connecting, translated, what_is_missing
from airflow_pgmq.db.driver.values import AsyncCursor
from airflow_pgmq.db.statements import Statement, Work, reading, schema
from airflow_pgmq.db.statements.sessions import NOTHING, Usable, usable

T = TypeVar("T")
AsyncConnection = psycopg.AsyncConnection[Any]


async def connect_async(arguments: Mapping[str, Any], limits: Limits | None = None) -> AsyncConnection:
    """Open a connection of our own, in autocommit mode, to be kept."""
    limits = limits or Limits()
    with connecting():
        conn = await psycopg.AsyncConnection.connect(
            autocommit=True, **{**DEFAULTS, "connect_timeout": 5, **arguments}
        )
    try:
        async with sessions.AsyncTransaction(conn) if sessions.is_standby(conn) else nullcontext():
            made = await aexecute(running.settings(conn, limits), conn)
    except BaseException:
        await conn.close()
        raise
    sessions.keep(conn, sessions.Session(limits, made.is_ours))
    choices.note(conn, made.usable)
    return conn


async def aexecute(statement: Statement[T], conn: AsyncConnection) -> T:
    """The same on the event loop."""
    can_use = choices.of(statement, conn, await _usable(conn)) if choices.matter(statement) else NOTHING
    with translated(statement, conn):
        async with AsyncCursor(conn, row_factory=running.rows_of(statement)) as cursor:
            query = text(statement, can_use)
            try:
                await cursor.execute(query, statement.params or None, prepare=False, binary=is_one(statement))
            except choices.REFUSED as exc:
                choices.check(statement, conn, can_use, exc)
                raise
            return statement.decode(await cursor.fetchall() if cursor.description else [])


async def _usable(conn: AsyncConnection) -> Usable:
    if (found := choices.known(conn)) is None:
        choices.note(conn, found := await aexecute(usable(), conn))
    return found


async def arun(work: Work[T] | Callable[[], Work[T]], conn: AsyncConnection) -> T:
    """Run on a connection in autocommit mode as one transaction.

    Work that is given as a function that makes it is run again after a lost race.
    """
    for attempt in range(ATTEMPTS):
        try:
            return await _atransact(work() if callable(work) else work, conn)
        except NOT_THERE as exc:
            found = None
            with suppress(errors.PgmqError, psycopg.Error):
                found = await aexecute(schema.installed(exc.queue_name), conn)
            raise what_is_missing(exc, found) from exc.__cause__
        except RETRYABLE:
            if attempt == ATTEMPTS - 1 or not (callable(work) or isinstance(work, Statement)):
                raise
        except errors.ArchiveRefused as exc:
            again = partial(reading.free_archive_ids, exc.queue_name, exc.msg_ids)
            if attempt == ATTEMPTS - 1 or not isinstance(work, Statement) or not await arun(again, conn):
                raise
        await asyncio.sleep(random.uniform(0, 0.02 * 2**attempt))
    raise AssertionError("unreachable")


async def _atransact(work: Work[T], conn: AsyncConnection) -> T:
    if isinstance(work, Statement) and getattr(sessions.of(conn), "is_set", False):
        return await aexecute(work, conn)
    with translated(None, conn):
        async with sessions.AsyncTransaction(conn):
            return await adrive(work, conn)


async def adrive(work: Work[T], conn: AsyncConnection) -> T:
    """`drive` on the event loop."""
    if isinstance(work, Statement):
        return await aexecute(work, conn)
    try:
        statement = next(work)
        while True:
            statement = work.send(await aexecute(statement, conn))
    except StopIteration as stop:
        result: T = stop.value
        return result
