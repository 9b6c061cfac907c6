"""Prepared statements: where they are possible, and for how long their plans are kept."""

from __future__ import annotations

from time import monotonic
from weakref import WeakKeyDictionary

from airflow_pgmq.db.driver import sessions

#: Seconds. Postgres keeps a plan although its tables grow, and the plan of an empty table can take minutes on
#: a full one. To plan once a second costs nothing that can be measured.
MAX_AGE = 1.0

_dropped: WeakKeyDictionary[sessions.Connection, float] = WeakKeyDictionary()


def are_kept(conn: sessions.Connection) -> bool:
    """Whether to prepare a statement: behind a pooler it may not be there at its next use.

    Drops the session's plans once they are old; its prepared statements stay.
    """
    session = sessions.of(conn)
    if session is None or not session.is_set:
        return False
    now = monotonic()
    if now - _dropped.setdefault(conn, now) > MAX_AGE:
        conn.execute(b"DISCARD PLANS", prepare=False)
        _dropped[conn] = now
    return True
