"""The user's SQL, prepared to be put into a statement of ours."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from airflow_pgmq.errors import InvalidQuery


def prepare(sql: str, parameters: Mapping[str, Any] | None) -> str:
    """Drop the semicolon at the end; without parameters, a percent sign means itself."""
    if not isinstance(sql, str) or not sql.strip():
        raise InvalidQuery("sql must be the text of one statement.")
    if parameters is not None and not isinstance(parameters, Mapping):
        raise InvalidQuery("parameters must be a mapping: write %(name)s in the sql.")
    for name in parameters or {}:
        if name.startswith("pgmq_"):
            raise InvalidQuery(
                f"The parameter {name!r} cannot be used: names that begin with pgmq_ are ours."
            )
    text = sql.rstrip()
    while text.endswith(";"):
        text = text[:-1].rstrip()
    # The line break ends a comment at the end: what follows is not part of it.
    return (text if parameters is not None else text.replace("%", "%%")) + "\n"
