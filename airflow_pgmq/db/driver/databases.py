"""Databases of tests: made as copies, and dropped. Postgres takes their names as no parameters."""

from __future__ import annotations

from typing import Any

import psycopg
from psycopg import sql


def create(
    conn: psycopg.Connection[Any], name: str, template: str = "template1", *, by_files: bool = False
) -> None:
    """Make a database as a copy of another one, to which nobody may be connected.

    :param by_files: copy its files, which is faster where nothing has to reach a disk; from Postgres 15 on
    """
    copy = sql.SQL("CREATE DATABASE {} TEMPLATE {}").format(sql.Identifier(name), sql.Identifier(template))
    conn.execute(copy + sql.SQL(" STRATEGY FILE_COPY") if by_files else copy)


def drop(conn: psycopg.Connection[Any], name: str) -> None:
    """Drop a database, even if somebody is connected to it."""
    conn.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))
