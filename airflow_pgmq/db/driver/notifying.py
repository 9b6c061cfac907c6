"""Notifications of a connection whose socket the event loop watches while no statement runs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

import psycopg
from psycopg.pq.misc import PGnotify

AsyncConnection: TypeAlias = "psycopg.AsyncConnection[Any]"

#: Gets the channel and the payload.
Receive: TypeAlias = Callable[[str, str], None]


def receive_with_answers(conn: AsyncConnection, receive: Receive) -> None:
    """Hand over notifications that come with the answer to a statement.

    psycopg's own handler fails on text that is not in the connection's encoding, which any client may send.
    """
    conn.pgconn.notify_handler = lambda notification: _hand_over(notification, receive)


def read_socket(conn: AsyncConnection) -> None:
    """Take what the server has sent, without waiting for more.

    :raises OperationalError: the connection is lost
    """
    conn.pgconn.consume_input()


def receive_pending(conn: AsyncConnection, receive: Receive) -> None:
    """Hand over the notifications that were taken from the socket."""
    while notification := conn.pgconn.notifies():
        _hand_over(notification, receive)


def close_at_once(conn: AsyncConnection) -> None:
    """Close a connection where nothing can be awaited."""
    conn.pgconn.finish()


def _hand_over(notification: PGnotify, receive: Receive) -> None:
    receive(notification.relname.decode("utf-8", "replace"), notification.extra.decode("utf-8", "replace"))
