"""Prepared statements: where they are possible, and for how long their plans are kept."""

from __future__ import annotations

from time import monotonic

from airflow_pgmq.db.driver import sessions

#: Seconds. Postgres keeps a plan although its tables grow, and the plan of an empty table can take minutes on
#: a full one. To plan once a second costs nothing that can be measured.
MAX_AGE = 1.0


def keeper(conn: sessions.Connection) -> sessions.Session | None:
    """The session, if statements may be prepared in it: behind a pooler they may be gone at the next use.

    Drops the session's plans once they are old; its prepared statements stay.
    """
    session = sessions.of(conn)
    if session is None or not session.is_set:
        return None
    now = monotonic()
    if session.replanned_at is None:
        session.replanned_at = now
    elif now - session.replanned_at > MAX_AGE:
        conn.execute(b"DISCARD PLANS", prepare=False)
        session.replanned_at = now
    return session
