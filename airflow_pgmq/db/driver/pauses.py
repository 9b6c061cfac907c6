"""Whether a connection sees which queues are paused: its role may not, or our schema is missing or old.

It is found out once for a connection, so that no read needs another round trip, and a role without the right
reads as before: a statement that names a table which the role may not see would fail.
"""

from __future__ import annotations

import re
from time import monotonic
from typing import Any
from weakref import WeakKeyDictionary

from psycopg import errors as pg

from airflow_pgmq.db.driver.sessions import AnyConnection
from airflow_pgmq.db.statements import Statement

#: Seconds after which a connection that does not see them is asked again: its role may have got the right.
AGAIN = 60.0

#: What a statement says for a role that sees them, and for others.
_CHOICE = re.compile(r"/\* seen: \*/(.*?)/\* unseen: \*/(.*?)/\* end \*/", re.S)

#: The names in the server's text are the same in every language.
_ABOUT_THEM = re.compile(r"\b(paused_queues|airflow_pgmq)\b")

_known: WeakKeyDictionary[AnyConnection, tuple[bool, float]] = WeakKeyDictionary()


class PausesHidden(pg.SerializationFailure):
    """The role may no longer see them, or they were removed: done again, the statement reads on."""


def matter(statement: Statement[Any]) -> bool:
    """Whether the statement asks which queues are paused."""
    return "/* seen: */" in statement.sql


def choose(text: str, *, sees: bool) -> str:
    """The text for a role that sees them, or for one that does not."""
    return _CHOICE.sub(r"\1" if sees else r"\2", text)


def known(conn: AnyConnection) -> bool | None:
    """Whether the connection sees them; None: to be asked."""
    sees, asked_at = _known.get(conn, (None, 0.0))
    return None if sees is False and monotonic() - asked_at > AGAIN else sees


def note(conn: AnyConnection, sees: bool) -> None:
    """Note the answer."""
    _known[conn] = sees, monotonic()


#: The errors of a statement that names their table.
REFUSED = (pg.InsufficientPrivilege, pg.UndefinedTable, pg.InvalidSchemaName)


def check(conn: AnyConnection, exc: pg.Error) -> None:
    """Raise if the error is about their table, and ask the connection again next time.

    :raises PausesHidden: the statement is to be done again
    """
    if _ABOUT_THEM.search(exc.diag.message_primary or ""):
        _known.pop(conn, None)
        raise PausesHidden("The paused queues can no longer be seen.") from exc
