"""A statement's text for the driver."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

from psycopg import sql

from airflow_pgmq.db.driver import choices
from airflow_pgmq.db.statements import Statement
from airflow_pgmq.db.statements.sessions import ALL, Usable


def text(statement: Statement[Any], usable: Usable = ALL) -> bytes:
    """The query as it is sent, always in UTF-8.

    :param usable: what it may name
    """
    if statement.script is not None and not statement.identifiers:
        return statement.script.encode()
    return _text(
        statement.sql,
        tuple(statement.identifiers.items()),
        tuple(statement.literals.items()),
        statement.columns,
        tuple(statement.fragments.items()),
        bool(statement.params),
        usable,
    )


def is_one(statement: Statement[Any]) -> bool:
    """Whether it is a single query, whose rows can be binary; a script may be several."""
    return statement.script is None or bool(statement.params)


@lru_cache(maxsize=512)
def _text(
    text: str,
    identifiers: tuple[tuple[str, tuple[str, ...]], ...],
    literals: tuple[tuple[str, str], ...],
    columns: tuple[str, ...],
    fragments: tuple[tuple[str, str], ...],
    has_params: bool,
    usable: Usable,
) -> bytes:
    def doubled(name: str) -> str:
        # In a query with parameters, a percent sign begins one, also in names; the driver does not double it.
        return name.replace("%", "%%") if has_params else name

    def quoted(*path: str) -> sql.Identifier:
        return sql.Identifier(*map(doubled, path))

    parts: dict[str, sql.Composable] = {name: quoted(*path) for name, path in identifiers}
    parts.update((name, sql.Literal(doubled(value))) for name, value in literals)
    parts["columns"] = sql.SQL(", ").join(map(quoted, columns))
    parts.update((name, sql.SQL(own)) for name, own in fragments)
    return sql.SQL(choices.choose(text, usable)).format(**parts).as_bytes(None)
