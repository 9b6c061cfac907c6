"""What exists in place of a queue's tables: one that is not as PGMQ makes it must not affect the others."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from airflow_pgmq.core import names
from airflow_pgmq.core.privileges import quoted
from airflow_pgmq.core.problems import Problem
from airflow_pgmq.core.queue_counts import Shape, Table

#: How PGMQ makes the columns that we rely on.
COLUMNS = {
    "msg_id": "bigint GENERATED ALWAYS AS IDENTITY UNIQUE",
    "read_ct": "integer NOT NULL DEFAULT 0",
    "enqueued_at": "timestamp with time zone NOT NULL DEFAULT now()",
    "vt": "timestamp with time zone NOT NULL DEFAULT now()",
    "message": "jsonb",
    "headers": "jsonb",
    "archived_at": "timestamp with time zone NOT NULL DEFAULT now()",
}
_KINDS = {"v": "VIEW", "m": "MATERIALIZED VIEW", "f": "FOREIGN TABLE"}


@dataclass(frozen=True, slots=True)
class Place:
    """A table of a queue, and how it is called in texts."""

    queue_name: str
    what: str
    shape: Shape

    @property
    def path(self) -> str:
        """As SQL reads it."""
        return f"pgmq.{quoted(self.shape.name)}"

    @property
    def known(self) -> str:
        """As people read it."""
        return f"{self.what} pgmq.{self.shape.name} of queue {self.queue_name}"


def problems(tables: Sequence[Table]) -> dict[str, list[Problem]]:
    """What is wrong with each queue's tables, by queue; the texts name it."""
    sharing: dict[str, list[str]] = defaultdict(list)
    for table in tables:
        sharing[table.own.name].append(table.queue_name)
    return {
        table.queue_name: [
            *_of_table(table),
            *(problem for place in _places(table, True) for problem in _of_place(table, place)),
            *_shared(table.own.name, sharing[table.own.name]),
        ]
        for table in tables
    }


def unfit(table: Table, *, archive: bool) -> list[str]:
    """Why statements of any role leave a queue out: its table, or its archive, is not as PGMQ makes it."""
    if is_misnamed(table):
        return [problem.text for problem in _of_table(table)]
    return [problem.text for place in _places(table, archive) for problem in _of_place(table, place)]


def left_out(table: Table, *, archive: bool) -> list[str]:
    """The same, and what the role may not read."""
    not_readable = [
        each for each in _places(table, archive) if each.shape.is_table and not each.shape.readable
    ]
    return unfit(table, archive=archive) + [f"The role may not read {place.known}." for place in not_readable]


def is_misnamed(table: Table) -> bool:
    """Whether the database makes another table name from the queue's name than we do."""
    return table.own.name != names.table(table.queue_name)[1]


def unusable(queue_names: Iterable[str]) -> Iterator[Problem]:
    """Queues whose names are not safe in statements."""
    for name in queue_names:
        yield Problem(
            "odd_name",
            "warning",
            f"Queue {name!r} is always left out: its name has one of $ ; -- ' or more than 47 bytes.",
            "Move its messages to a queue of another name, then drop it.",
        )


def _places(table: Table, archive: bool) -> list[Place]:
    own = Place(table.queue_name, "the table", table.own)
    return [own, Place(table.queue_name, "the archive", table.archive)] if archive else [own]


def _of_table(table: Table) -> Iterator[Problem]:
    if is_misnamed(table):
        ours = names.table(table.queue_name)[1]
        yield Problem(
            "odd_name",
            "warning",
            f"Queue {table.queue_name} is pgmq.{table.own.name} to this database, whose lower() leaves some "
            f"capitals as they are, and pgmq.{ours} to this package: it is only counted.",
            "Move its messages to a queue whose name has only the letters a to z, digits and underscores.",
        )


def _of_place(table: Table, place: Place) -> Iterator[Problem]:
    shape = place.shape
    if shape.kind is None:
        yield Problem("no_table", "error", f"{_capital(place.known)} is missing.", _create(table))
    elif not shape.is_table:
        kind = _KINDS.get(shape.kind, "TABLE")
        yield Problem(
            "no_plain_table",
            "error",
            f"There is a {kind.lower()} in place of {place.known}, so it is left alone.",
            "\n".join(
                [_sql("ALTER", kind, place.path, "RENAME TO", quoted(f"{shape.name}_was")), _create(table)]
            ),
        )
    elif shape.lacks:
        columns = ", ".join(f"ADD COLUMN {name} {_type(name, place)}" for name in shape.lacks)
        yield Problem(
            "lacks_columns",
            "error",
            f"{_capital(place.known)} lacks {', '.join(shape.lacks)}, or not as PGMQ makes it.",
            f"-- First rename one of that name but another type.\n{_sql('ALTER TABLE', place.path, columns)}",
        )


def _capital(text: str) -> str:
    return text[0].upper() + text[1:]


def _type(column: str, place: Place) -> str:
    if column == "msg_id" and place.what == "the archive":
        return "bigint UNIQUE"
    return COLUMNS[column]


def _create(table: Table) -> str:
    """The SQL that makes what is missing of a queue; PGMQ leaves the rest as it is."""
    function = "create_unlogged" if table.is_unlogged else "create"
    return _sql("SELECT", f"pgmq.{function}('{table.queue_name}')")


def _sql(*parts: str) -> str:
    """A command for people to read and run."""
    return " ".join(parts) + ";"


def _shared(table_name: str, queue_names: Sequence[str]) -> Iterator[Problem]:
    if len(queue_names) < 2:
        return
    known = sorted(queue_names)
    keep = next((name for name in known if name == name.lower()), known[0])
    yield Problem(
        "shared_table",
        "warning",
        f"Queues {' and '.join(known)} are one table, pgmq.{table_name}: each has the messages of the other.",
        "\n".join(
            _sql("DELETE FROM pgmq.meta WHERE queue_name =", f"'{name}'") for name in known if name != keep
        ),
    )
