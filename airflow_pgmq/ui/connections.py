"""The Airflow connections that the page shows: those of type `pgmq`, and the default one."""

from __future__ import annotations

import os
import re
from typing import Any

from airflow.configuration import conf
from airflow.exceptions import AirflowNotFoundException  # type: ignore[attr-defined]
from airflow.models import Connection
from airflow.utils.session import create_session
from fastapi import HTTPException
from sqlalchemy import select

from airflow_pgmq.hooks import PgmqHook

_PREFIX = "AIRFLOW_CONN_"
#: Without slashes: a secrets backend would read them as a path.
_ID = re.compile(r"[\w#!()\-:][\w#!()\-.:]*")


def team(connection_id: str) -> str | None:
    """The team that a connection belongs to, if Airflow has teams (3.2 and newer)."""
    if not conf.getboolean("core", "multi_team", fallback=False):
        return None
    name: str | None = Connection.get_team_name(connection_id)
    return name


def is_id(connection_id: str) -> bool:
    """Whether a connection can have this id, and no secrets backend reads it as a path."""
    return len(connection_id) <= 250 and _ID.fullmatch(connection_id) is not None


def find(connection_id: str) -> Connection | None:
    """The connection, if it is for PGMQ: the page must not open other Postgres connections of Airflow."""
    if not is_id(connection_id):
        return None
    of_team = {"team_name": name} if (name := team(connection_id)) else {}
    try:
        found: Connection = Connection.get_connection_from_secrets(connection_id, **of_team)
    # A secrets backend raises PermissionError where it denies access.
    except (AirflowNotFoundException, PermissionError):
        return None
    is_ours = found.conn_type == PgmqHook.conn_type or connection_id == PgmqHook.default_conn_name
    return found if is_ours else None


def missing(connection_id: str) -> HTTPException:
    """The same 404 for a connection that does not exist and for a hidden one, so that nobody learns which."""
    return HTTPException(404, f"There is no PGMQ connection {connection_id!r}.")


def known(asked_for: str | None = None) -> list[dict[str, Any]]:
    """Ids and descriptions of the connections in the metadata database and the environment.

    Secrets backends cannot be listed: from them come only the default connection and `asked_for`.
    """
    with create_session() as session:
        statement = select(Connection.conn_id, Connection.description)
        rows = session.execute(statement.where(Connection.conn_type == PgmqHook.conn_type)).all()
    described: dict[str, str | None] = {row.conn_id: row.description for row in rows}
    candidates = {name[len(_PREFIX) :].lower() for name in os.environ if name.startswith(_PREFIX)}
    candidates |= {PgmqHook.default_conn_name, asked_for or PgmqHook.default_conn_name}
    for connection_id in sorted(candidates):
        if connection_id not in described and (found := find(connection_id)) is not None:
            described[connection_id] = found.description
    return [
        {"connection_id": connection_id, "description": described[connection_id]}
        for connection_id in sorted(described, key=lambda each: (each != PgmqHook.default_conn_name, each))
    ]
