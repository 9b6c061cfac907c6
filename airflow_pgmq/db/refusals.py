"""What it means when the server refuses a statement: a part of the statement that can cause it.

A statement's `errors` map an SQLSTATE, or its first two characters, to a function that makes the error, or
None if something else happened. Errors that any statement can have (a missing schema, a missing privilege, a
lost connection) are in `db.driver`, which asks the statement first.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

from airflow_pgmq.core import faults
from airflow_pgmq.errors import ArchiveRefused, FeatureMissing, PgmqError, documentation

if TYPE_CHECKING:
    from airflow_pgmq.db.statements import Statement

UNIQUE_VIOLATION = "23505"
INVALID_TEXT_REPRESENTATION = "22P02"
INSUFFICIENT_PRIVILEGE = "42501"
SYNTAX_ERROR = "42601"
UNDEFINED_FUNCTION = "42883"
UNDEFINED_TABLE = "42P01"
INVALID_COLUMN_REFERENCE = "42P10"
#: A RAISE in a function of PGMQ, which checks its arguments itself.
RAISE_EXCEPTION = "P0001"
#: The class of errors in a text of SQL: its syntax, and the names in it.
SYNTAX_OR_ACCESS = "42"


@dataclass(frozen=True, slots=True)
class Refusal:
    """What the server said."""

    sqlstate: str
    #: In the server's language.
    text: str
    detail: str
    #: The constraint or index, and the table, of the error.
    constraint: str
    table: str
    #: The server's internal function that refused: the same name in every language.
    function: str


Meaning: TypeAlias = "Callable[[Statement[Any], Refusal], PgmqError | None]"


def meaning(statement: Statement[Any], refusal: Refusal) -> PgmqError | None:
    """The statement's error for this refusal; None: it has none."""
    for state in (refusal.sqlstate, refusal.sqlstate[:2]):
        if (make := statement.errors.get(state)) and (error := make(statement, refusal)):
            return error
    return None


def raised_by_pgmq(kind: type[PgmqError]) -> Meaning:
    """An argument that a function of PGMQ does not take."""
    return lambda statement, refusal: kind(f"PGMQ refuses: {faults.sentence(refusal.text)}")


def needs(version: str) -> Mapping[str, Meaning]:
    """What a function of PGMQ that came with this version means where it is missing."""

    def older(statement: Statement[Any], refusal: Refusal) -> FeatureMissing:
        return FeatureMissing(
            f"This PGMQ is too old for what was asked, which needs PGMQ {version} ({refusal.text}): "
            f"{documentation.UPGRADING} has a newer one."
        )

    return {UNDEFINED_FUNCTION: older}


def archive_refused(statement: Statement[Any], refusal: Refusal) -> ArchiveRefused:
    """A unique index of the archive."""
    return ArchiveRefused(
        statement.queue_name or "", statement.params.get("msg_ids"), refusal.constraint, refusal.text
    )
