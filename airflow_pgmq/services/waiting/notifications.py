"""A connection that hears: psycopg gives up the socket between statements, and the event loop watches it."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Callable
from contextlib import suppress
from typing import TypeVar

from airflow_pgmq.db.client import AsyncConnection, Notification, OperationalError, aexecute
from airflow_pgmq.db.statements import Statement

T = TypeVar("T")


class ListeningConnection:
    """A connection whose notifications arrive while none of its own statements runs.

    The event loop watches the socket. psycopg's `notifies()` would hold the connection, so that no channel
    could be added, and wakes up ten times a second.
    """

    def __init__(
        self, conn: AsyncConnection, heard: Callable[[str, str], None], lost: Callable[[Exception], None]
    ) -> None:
        self.conn = conn
        self._heard = heard
        self._lost = lost
        self._loop = asyncio.get_running_loop()
        self._fileno = conn.fileno()
        # Those that arrive with the answer to a statement. psycopg's own handler fails on what is not in the
        # connection's encoding, which anybody may send.
        conn.pgconn.notify_handler = self._notified
        self._loop.add_reader(self._fileno, self._read)

    async def run(self, statement: Statement[T]) -> T:
        """Run a statement of one's own."""
        # psycopg waits on the same socket, and the loop knows one reader for each.
        self._loop.remove_reader(self._fileno)
        try:
            return await aexecute(statement, self.conn)
        finally:
            if not self.conn.closed:
                self._loop.add_reader(self._fileno, self._read)
                # What was read together with the answer would not make the socket readable again.
                self._drain()

    async def close(self) -> None:
        """Hear no more."""
        self._loop.remove_reader(self._fileno)
        await self.conn.close()

    def _read(self) -> None:
        try:
            self.conn.pgconn.consume_input()
        except OperationalError as exc:
            self._loop.remove_reader(self._fileno)
            self._lost(exc)
        else:
            self._drain()

    def _drain(self) -> None:
        while notification := self.conn.pgconn.notifies():
            self._notified(notification)

    def _notified(self, notification: Notification) -> None:
        self._heard(
            notification.relname.decode("utf-8", "replace"), notification.extra.decode("utf-8", "replace")
        )


def sever(conn: AsyncConnection) -> None:
    """Cut a connection from under whoever waits for it: the call ends at once, as by a lost server.

    A call that is cancelled instead would first ask the server to cancel it, the one that does not answer.
    """
    with suppress(OSError, OperationalError), socket.socket(fileno=os.dup(conn.fileno())) as twin:
        twin.shutdown(socket.SHUT_RDWR)
