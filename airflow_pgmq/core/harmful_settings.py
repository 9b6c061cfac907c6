"""Settings of role, database and server that do harm on connections where we cannot set our own."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from airflow_pgmq.core.messages import Row
from airflow_pgmq.core.privileges import quoted
from airflow_pgmq.core.problems import Problem

#: Milliseconds below which a limit may do harm.
_LOW_LIMITS = {
    "statement_timeout": 60_000,
    "transaction_timeout": 60_000,
    "idle_in_transaction_session_timeout": 60_000,
    "idle_session_timeout": 300_000,
    "lock_timeout": 1_000,
}
_HARM = {
    "statement_timeout": "long statements in it are cancelled",
    "transaction_timeout": "transactions in it are ended, with the session",
    "idle_in_transaction_session_timeout": "work that takes longer than that loses its transaction",
    "idle_session_timeout": "it is closed while the messages that were read on it are worked on",
    "lock_timeout": "sends of a key that another transaction holds fail",
    "default_transaction_read_only": "nothing can be sent or acked in it",
}
#: Behind a pooler, our transactions set their own limits; the pooler's sessions keep theirs.
_POOLED = {"idle_session_timeout": ", or behind a pooler"}
#: The settings that the doctor reads.
NAMES = list(_HARM)


def problems(role: str, database: str, settings: Iterable[Row]) -> Iterator[Problem]:
    """Limits that do harm on connections that are not our own: a caller's (`conn=`), or a pooler's.

    :param settings: `name`, `value` with milliseconds for times, and where it is set: `of_role`,
        `in_database`; both False: in the server's configuration or by the connection itself
    """
    for row in settings:
        name, value = row["name"], row["value"]
        if not _does_harm(name, value):
            continue
        shown = value if name not in _LOW_LIMITS else f"{int(value) / 1000:g} s"
        yield Problem(
            "session_setting",
            "warning",
            f"{name} is {shown} {_where(role, database, row)}. Our own connections set their own; on one of "
            f"yours (`conn=`){_POOLED.get(name, '')}, {_HARM[name]}.",
            _fix(role, database, row),
        )


def _does_harm(name: str, value: str) -> bool:
    return 0 < int(value) < _LOW_LIMITS[name] if name in _LOW_LIMITS else value == "on"


def _where(role: str, database: str, row: Row) -> str:
    places = [f"of role {role!r}"] if row["of_role"] else []
    places += [f"of database {database!r}"] if row["in_database"] else []
    return f"by a setting {' in '.join(places)}" if places else "by the server's or the connection's settings"


def _fix(role: str, database: str, row: Row) -> str:
    name = row["name"]
    if row["of_role"]:
        inside = ["IN DATABASE", quoted(database)] if row["in_database"] else []
        return " ".join(["ALTER ROLE", quoted(role), *inside, "RESET", name + ";"])
    if row["in_database"]:
        return " ".join(["ALTER DATABASE", quoted(database), "RESET", name + ";"])
    value = "0" if name in _LOW_LIMITS else "off"
    return " ".join(["ALTER ROLE", quoted(role), "SET", name, "=", value + ";"])
