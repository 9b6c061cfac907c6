"""What went wrong at the server, for people: its text, and what to do.

The SQLSTATE decides, not the server's text, which may be in any language. libpq gives no SQLSTATE for a
connection that was refused: there the text only makes the advice more specific.
"""

from __future__ import annotations

import re

from airflow_pgmq.command_line import command
from airflow_pgmq.errors import LimitReached, LockTimeout

INSTALL = f"run `{command('init')}` once, with a role that may create schemas."

_AGAIN = "Try again; what it did before is undone."

#: SQLSTATEs, and classes of them, of statements that the server did not finish and may finish later.
_FIXES = {
    "40": "Others changed the same rows at the same time, several times over: try again.",
    "55P03": "Somebody holds a lock on it for longer than lock_timeout allows. Try again; pg_locks and "
    "pg_stat_activity tell who.",
    "57014": "It took longer than statement_timeout allows, or somebody cancelled it. SHOW statement_timeout "
    "tells the role's limit; role, database or the connection's options can set another.",
    "25006": "This session may only read: a standby, or default_transaction_read_only. Let the "
    "connection lead to the primary (host=a,b with target_session_attrs=read-write), or RESET it for role "
    "and database.",
    "25P03": f"The transaction was idle for longer than idle_in_transaction_session_timeout allows. {_AGAIN}",
    "25P04": f"It took longer than transaction_timeout allows. {_AGAIN}",
    "57P05": f"The connection was idle for longer than idle_session_timeout allows. {_AGAIN}",
    "57P": "The server or its database is shut down or restarted, or an administrator ended the connection. "
    f"{_AGAIN}",
    "53100": "The server's disk is full: make room, then try again.",
    "53300": "The server takes no more connections: let fewer tasks run at once, put a pooler in between, or "
    "raise max_connections or the CONNECTION LIMIT of role and database.",
    "53": "The server lacks memory, disk or connections: its log says which.",
    "08": "The connection was lost, and whether a COMMIT was done is not known. Try again; the server's log "
    "tells why.",
    "58": "The server's own files fail it: see its log.",
}

#: After the server's severity, in any language, libpq writes a colon and two blanks; in its own texts never.
_BY_SERVER = re.compile(r": [^:\n]+:  \S")

#: English words of the server and of libpq, and the kind of advice for them. The first match counts, since
#: "the database system is starting up" has the word database, and "too many connections for role" role.
_SAID = (
    (("too many", "connection slots"), "limit"),
    (
        ("starting up", "shutting down", "recovery", "accepting connections", "timed out", "timed-out")
        + ("is disabled", "hot standby"),
        "soon",
    ),
    (("password", "authentication", "role", "pg_hba", "no such user"), "login"),
    (("database",), "database"),
    (("parameter",), "extras"),
)
_SAID_BY_LIBPQ = ((("ssl", "gssapi", "certificate"), "ssl"), (("option", "invalid"), "extras"))
_ADVICE = {
    "login": "Correct user and password of the Airflow connection, or the server's pg_hba.conf.",
    "limit": _FIXES["53300"],
    "database": "Correct the database of the Airflow connection, or create it.",
    "soon": "Try again when it has started, or correct the host if another server is meant.",
    "extras": "Correct the extras of the Airflow connection: they are libpq's parameters.",
    "ssl": "Correct sslmode and certificates in the extras of the Airflow connection.",
}
_UNREACHED = "Correct host and port of the Airflow connection; see that the server runs and is reachable."
_REFUSED = (
    "The server is there and refuses, for the reason that it gives: correct user, password and database of "
    "the Airflow connection, let pg_hba.conf let it in, wait until the server has started, or have it take "
    "more connections."
)


def fix(sqlstate: str | None) -> str | None:
    """What to do about a statement that the server did not finish; None: another error happened."""
    if sqlstate is None:
        return _FIXES["08"]
    return next((_FIXES[known] for known in (sqlstate, sqlstate[:3], sqlstate[:2]) if known in _FIXES), None)


def refused(words: str, *, lacks_password: bool = False) -> str:
    """What to do about a connection that could not be opened; `words` is libpq's and the server's text."""
    kind = _kind(words, lacks_password)
    return _ADVICE[kind] if kind else _REFUSED if _is_there(words) else _UNREACHED


def limit_reached(sqlstate: str | None, text: str) -> LimitReached | None:
    """The error for what Postgres says when a limit was reached."""
    advice = "Try again, or raise the limit in Airflow's configuration."
    if sqlstate == "55P03":
        return LockTimeout(
            "lock_timeout",
            sqlstate,
            f"Somebody held a lock for longer than [pgmq] lock_timeout, so nothing was done ({text}).",
            "Waiting: SELECT pid, query FROM pg_stat_activity WHERE cardinality(pg_blocking_pids(pid)) > 0; "
            f"for whom: pg_blocking_pids(pid). {advice}",
        )
    if sqlstate == "25P03":
        return LimitReached(
            "idle_in_transaction_timeout",
            sqlstate,
            "This process did nothing inside a transaction for longer than [pgmq] "
            "idle_in_transaction_timeout, so Postgres ended the transaction, since others wait for it. "
            f"Nothing of it was done ({text}).",
            advice,
        )
    if sqlstate in ("57014", "25P04"):
        return LimitReached(
            "transaction_timeout",
            sqlstate,
            "A transaction took longer than [pgmq] transaction_timeout, or somebody cancelled it, so nothing "
            f"of it was done ({text}).",
            "Do less at once, or raise the limit in Airflow's configuration.",
        )
    return None


#: Phrases of servers and poolers about a connection that must be corrected.
_FINAL = (
    *("authentication failed", "does not exist", "no pg_hba.conf entry", "not permitted to log in"),
    *("no such database", "no such user", "permission denied for database"),
    *("unrecognized configuration parameter", "invalid value for parameter"),
)


def is_mistake(words: str, *, lacks_password: bool = False) -> bool:
    """Whether the connection must be corrected first, so that waiting, as in an outage, does not help.

    If the server's texts are not English, this is known only where it asks for a password and there is none.
    """
    is_final = _is_there(words) and any(phrase in _unquoted(words) for phrase in _FINAL)
    return lacks_password or (is_final and _kind(words, lacks_password) not in ("soon", "limit"))


def _kind(words: str, lacks_password: bool) -> str | None:
    if lacks_password:
        return "login"
    said = _unquoted(words)
    known = _SAID if _is_there(words) else _SAID_BY_LIBPQ
    return next((kind for texts, kind in known if any(each in said for each in texts)), None)


def _unquoted(words: str) -> str:
    """The text in lower case without quoted names, which may be any word."""
    return re.sub(r'"[^"]*"|„[^“]*“|«[^»]*»|“[^”]*”', "", words.lower())


def _is_there(words: str) -> bool:
    return _BY_SERVER.search(words) is not None


def sentence(words: str) -> str:
    """The text on one line, with a full stop."""
    text = " ".join(words.split())
    return text if text.endswith((".", "?", "!")) else f"{text}."
