"""What a statement says where servers and roles differ: which tables and columns a connection can use.

A role may not see which queues are paused, or our schema is missing or old; PGMQ before 1.10 has no column
`last_read_at`. A statement that names what is not there would fail, so its text has both ways. What a
connection can use is found out once, so that no read needs another round trip.
"""

from __future__ import annotations

import re
from functools import lru_cache
from time import monotonic
from typing import Any
from weakref import WeakKeyDictionary

from psycopg import errors as pg

from airflow_pgmq.db.driver.sessions import AnyConnection
from airflow_pgmq.db.statements import Statement
from airflow_pgmq.db.statements.sessions import Usable

#: Seconds after which a connection that cannot use all is asked again: its role may have got the right.
AGAIN = 60.0

_CHOICE = re.compile(r"/\* if (\w+): \*/(.*?)/\* else: \*/(.*?)/\* end \*/", re.S)

#: The names in the server's text are the same in every language.
_ABOUT_PAUSES = re.compile(r"\b(paused_queues|airflow_pgmq)\b")

_known: WeakKeyDictionary[AnyConnection, tuple[Usable, float]] = WeakKeyDictionary()
#: Queues whose tables lack the column, although this PGMQ has it.
_lacking: WeakKeyDictionary[AnyConnection, set[str | None]] = WeakKeyDictionary()


class OtherChoice(pg.SerializationFailure):
    """What the statement named can no longer be used: done again, it says it the other way."""


def matter(statement: Statement[Any]) -> bool:
    """Whether the statement has two ways to say something."""
    return _has_choices(statement.sql)


@lru_cache(maxsize=1024)
def _has_choices(text: str) -> bool:
    return "/* if " in text


def choose(text: str, usable: Usable) -> str:
    """The text for a connection that can use these."""
    return _CHOICE.sub(lambda found: found[2] if getattr(usable, found[1]) else found[3], text)


def known(conn: AnyConnection) -> Usable | None:
    """What the connection can use; None: to be asked."""
    usable, asked_at = _known.get(conn, (None, 0.0))
    return None if usable is not None and not all(usable) and monotonic() - asked_at > AGAIN else usable


def note(conn: AnyConnection, usable: Usable) -> None:
    """Note the answer."""
    _known[conn] = usable, monotonic()


def of(statement: Statement[Any], conn: AnyConnection, usable: Usable) -> Usable:
    """What the statement can use there."""
    return usable._replace(last_reads=False) if statement.queue_name in _lacking.get(conn, ()) else usable


#: The errors of a statement that names what cannot be used.
REFUSED = (pg.InsufficientPrivilege, pg.UndefinedTable, pg.InvalidSchemaName, pg.UndefinedColumn)


def check(statement: Statement[Any], conn: AnyConnection, usable: Usable, exc: pg.Error) -> None:
    """Raise if the error is about what the statement could have said otherwise.

    :raises OtherChoice: the statement is to be done again
    """
    text = exc.diag.message_primary or ""
    if isinstance(exc, pg.UndefinedColumn):
        if usable.last_reads and "last_read_at" in text and "/* if last_reads" in statement.sql:
            _lacking.setdefault(conn, set()).add(statement.queue_name)
            raise OtherChoice("A table of the queue has no last_read_at.") from exc
    elif usable.pauses and _ABOUT_PAUSES.search(text):
        # It is asked again.
        _known.pop(conn, None)
        raise OtherChoice("The paused queues can no longer be seen.") from exc
