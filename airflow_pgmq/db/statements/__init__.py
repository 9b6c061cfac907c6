"""What to run and how to read the answer, as values: no driver, no I/O.

A `Statement` is one query. A `Flow` is a generator that yields statements, gets their answers and returns
a result; a client drives it inside one transaction, sync or async, so the logic is written once.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, Generic, TypeAlias, TypeVar

from airflow_pgmq.core import names
from airflow_pgmq.core.messages import Row
from airflow_pgmq.core.privileges import quoted
from airflow_pgmq.db.refusals import Meaning
from airflow_pgmq.db.sql import queries

T = TypeVar("T")
R = TypeVar("R")

#: `%(value)s` and `{identifier}`, and not the braces of a JSON literal, which are doubled.
_NAMES = re.compile(r"(%\(|(?<!\{)\{)(\w+)(\)|\})")

_PLACES = re.compile(r"\{(?P<identifier>\w+)\}|%\((?P<value>\w+)\)s")

Flow: TypeAlias = Generator["Statement[Any]", Any, T]
Work: TypeAlias = "Statement[T] | Flow[T]"
Steps: TypeAlias = Callable[[], Iterator[object]]
RowMaker: TypeAlias = Callable[[Sequence[str]], Callable[[Sequence[Any]], Any]]


def nothing(rows: Sequence[Row]) -> None:
    """Decode a statement whose answer is not needed: T is None."""


@dataclass(slots=True)
class Statement(Generic[T]):
    """A named query with its values, its identifiers to be quoted, and the function that decodes its rows."""

    name: str
    params: Mapping[str, Any] = field(default_factory=dict)
    identifiers: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    decode: Callable[[Sequence[Any]], T] = nothing  # type: ignore[assignment]
    #: The queue that the statement is about, for errors.
    queue_name: str | None = None
    #: Of the names of the columns, makes what makes a row of its values, for `decode`. None: mappings.
    rows: RowMaker | None = None
    #: Column names for `{columns}`, quoted.
    columns: tuple[str, ...] = ()
    #: The user's SQL, for the braces of that name.
    fragments: Mapping[str, str] = field(default_factory=dict)
    #: It sets limits for the rest of the transaction, so it is not run in a caller's.
    is_limit: bool = False
    #: Its plan is worth keeping for a second: it is run often. It names its columns.
    is_prepared: bool = False
    #: For the braces of these names, texts that are part of the query: its plan need not look them up.
    literals: Mapping[str, str] = field(default_factory=dict)
    #: SQL that is in no file of queries: a migration, PGMQ's own installer, several queries in one.
    script: str | None = None
    #: What it means when the server refuses this statement, by SQLSTATE: `db.refusals` has the details.
    errors: Mapping[str, Meaning] = field(default_factory=dict)
    #: Makes short steps of work, any number of which may be taken while the server runs it.
    meanwhile: Steps | None = None

    @property
    def sql(self) -> str:
        """The query's text."""
        return self.script or queries()[self.name]


def on_queue(
    name: str,
    queue_name: str,
    decode: Callable[[Sequence[Any]], T] = nothing,  # type: ignore[assignment]
    *,
    errors: Mapping[str, Meaning] | None = None,
    is_prepared: bool = False,
    rows: RowMaker | None = None,
    meanwhile: Steps | None = None,
    **params: Any,
) -> Statement[T]:
    """A statement about one queue: its name as a value, its table as an identifier."""
    table = names.table(queue_name)
    if _asks_for_pause(name):
        # To ask whether it is paused (fragment `may_read`).
        params["queue_table"] = names.quoted(*table)
    return Statement(
        name,
        {"queue_name": queue_name, **params},
        {"table": table},
        decode,
        queue_name,
        rows,
        is_prepared=is_prepared,
        errors=errors or {},
        meanwhile=meanwhile,
    )


@lru_cache(maxsize=1024)
def _asks_for_pause(name: str) -> bool:
    return "%(queue_table)s" in queries()[name]


def union(parts: Sequence[Statement[T]], decode: Callable[[Sequence[Row]], R]) -> Statement[R]:
    """One statement for the rows of several: values and names in braces get the number of their part."""
    texts: list[str] = []
    params: dict[str, Any] = {}
    identifiers: dict[str, tuple[str, ...]] = {}
    literals: dict[str, str] = {}
    for number, part in enumerate(parts):
        texts.append(_NAMES.sub(rf"\g<1>\g<2>_{number}\g<3>", part.sql))
        params |= {f"{name}_{number}": value for name, value in part.params.items()}
        identifiers |= {f"{name}_{number}": path for name, path in part.identifiers.items()}
        literals |= {f"{name}_{number}": text for name, text in part.literals.items()}
    queue_name = parts[0].queue_name if len(parts) == 1 else None
    # In parentheses, because a part may begin with WITH.
    script = "\nUNION ALL\n".join(f"({text})" for text in texts)
    return Statement(parts[0].name, params, identifiers, decode, queue_name, literals=literals, script=script)


def many(make: Callable[[Row], T]) -> Callable[[Sequence[Row]], list[T]]:
    """Decode each row by `make`."""
    return lambda rows: [make(row) for row in rows]


def column(name: str) -> Callable[[Sequence[Row]], list[Any]]:
    """Decode to the values of one column."""
    return lambda rows: [row[name] for row in rows]


def scalar(name: str) -> Callable[[Sequence[Row]], Any]:
    """Decode to one value of the single row."""
    return lambda rows: rows[0][name]


def only(rows: Sequence[Row]) -> Row:
    """Decode to the single row."""
    return rows[0]


def first(rows: Sequence[Row]) -> Row | None:
    """Decode to the first row, or None."""
    return rows[0] if rows else None


def as_text(statement: Statement[Any]) -> str:
    """A statement for people to read and run; its values and identifiers are put into the text."""

    def value(found: re.Match[str]) -> str:
        name = found["identifier"]
        if name in statement.identifiers:
            return ".".join(map(quoted, statement.identifiers[name]))
        value = statement.literals[name] if name else statement.params[found["value"]]
        return "'{}'".format(str(value).replace("'", "''"))

    text = " ".join(statement.sql.split()).rstrip(";") + ";"
    # In one pass: a name may look like another placeholder.
    return _PLACES.sub(value, text)
