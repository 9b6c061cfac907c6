"""A listening connection: the event loop watches its socket while psycopg runs no statement."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Callable
from contextlib import suppress
from typing import TypeVar

from airflow_pgmq.db.client import AsyncConnection, OperationalError, aexecute
from airflow_pgmq.db.driver import notifying
from airflow_pgmq.db.statements import Statement

T = TypeVar("T")


class ListeningConnection:
    """A connection that receives notifications while it runs no statement.

    The event loop watches the socket. psycopg's `notifies()` would block the connection, so that no channel
    could be added, and wakes up ten times a second.
    """

    def __init__(
        self,
        conn: AsyncConnection,
        on_notification: Callable[[str, str], None],
        on_loss: Callable[[Exception], None],
    ) -> None:
        self.conn = conn
        self._on_notification = on_notification
        self._on_loss = on_loss
        self._loop = asyncio.get_running_loop()
        self._fileno = conn.fileno()
        notifying.receive_with_answers(conn, on_notification)
        self._loop.add_reader(self._fileno, self._read)

    async def run(self, statement: Statement[T]) -> T:
        """Run a statement."""
        # psycopg waits on the same socket, and the loop takes only one reader for each.
        self._loop.remove_reader(self._fileno)
        try:
            return await aexecute(statement, self.conn)
        finally:
            if not self.conn.closed:
                self._loop.add_reader(self._fileno, self._read)
                # What was read together with the answer would not make the socket readable again.
                notifying.receive_pending(self.conn, self._on_notification)

    async def close(self) -> None:
        """Stop listening, and close the connection."""
        self._loop.remove_reader(self._fileno)
        await self.conn.close()

    def _read(self) -> None:
        try:
            notifying.read_socket(self.conn)
        except OperationalError as exc:
            self._loop.remove_reader(self._fileno)
            self._on_loss(exc)
        else:
            notifying.receive_pending(self.conn, self._on_notification)


def sever(conn: AsyncConnection) -> None:
    """Shut down the socket of a connection: a call on it ends at once, as if the server were lost.

    Cancelling the call instead would first ask the server to cancel it, which does not answer.
    """
    with suppress(OSError, OperationalError), socket.socket(fileno=os.dup(conn.fileno())) as twin:
        twin.shutdown(socket.SHUT_RDWR)
