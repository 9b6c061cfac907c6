"""SQL of the user's, made fit to be put into a statement of ours."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from airflow_pgmq.errors import InvalidQuery

_WITH = re.compile(r"(?:\s|--[^\n]*\n|/\*.*?\*/)*WITH\s+(RECURSIVE\s+)?", re.I | re.S)


def prepare(sql: str, parameters: Mapping[str, Any] | None) -> str:
    """Drop the semicolon at the end; without parameters a percent sign is only a percent sign."""
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
    # A comment at the end must not swallow what follows.
    return (text if parameters is not None else text.replace("%", "%%")) + "\n"


def after_with(sql: str) -> tuple[str, bool]:
    """A statement as it continues after a first WITH query of ours, and whether it is recursive."""
    if (found := _WITH.match(sql)) is None:
        return f"\n{sql}", False
    return f",\n{sql[found.end() :]}", found.group(1) is not None
