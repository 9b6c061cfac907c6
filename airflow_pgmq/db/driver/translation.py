"""Driver errors → ours, which say what to do. The SQLSTATE decides.

Errors that only some statements can have are part of them (`db.refusals`); here are those of any statement.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Any, TypeVar

import psycopg
from psycopg import errors as pg

from airflow_pgmq import errors
from airflow_pgmq.command_line import command
from airflow_pgmq.core import faults, names
from airflow_pgmq.db.driver import sessions
from airflow_pgmq.db.refusals import Refusal, meaning
from airflow_pgmq.db.statements import Statement
from airflow_pgmq.errors import documentation

Told = TypeVar("Told", errors.NotConnected, errors.BrokenOff)


#: What the driver raises.
FAULTS = (psycopg.Error, UnicodeEncodeError)


@contextmanager
def translated(statement: Statement[Any] | None, conn: psycopg.BaseConnection[Any]) -> Iterator[None]:
    """Driver errors with a known cause → ours, which say what to do; others are not changed."""
    try:
        yield
    except FAULTS as exc:
        if (ours := translation(exc, statement, conn)) is not None:
            raise ours from exc
        raise


def translation(
    exc: Exception, statement: Statement[Any] | None, conn: psycopg.BaseConnection[Any]
) -> errors.PgmqError | None:
    """Our error for one of `FAULTS`; None: it is to be raised as it is."""
    if isinstance(exc, errors.PgmqError):
        return None
    if not isinstance(exc, psycopg.Error):
        return errors.InvalidArgument(f"{_NO_TEXT}: a lone surrogate.")
    known = _of_the_session(exc, conn) or _known(statement, exc, conn)
    if statement is not None and errors.queue_of(known or exc) is None:
        # An error of the driver takes attributes, too.
        setattr(known or exc, "queue_name", statement.queue_name)  # noqa: B010
    return known


def _of_the_session(exc: psycopg.Error, conn: psycopg.BaseConnection[Any]) -> errors.PgmqError | None:
    """An error by the limits of our session, or by the database's encoding."""
    text = (exc.diag.message_primary or str(exc)).strip()
    if isinstance(exc, psycopg.DataError) and exc.sqlstate is None:
        return errors.InvalidArgument(f"{_NO_TEXT}: {faults.sentence(text)}")
    if isinstance(exc, (pg.UntranslatableCharacter, pg.CharacterNotInRepertoire)):
        return errors.InvalidMessage(f"This database cannot store the text, so nothing was done: {text}.")
    return faults.limit_reached(exc.sqlstate, text) if sessions.of(conn) is not None else None


@contextmanager
def connecting() -> Iterator[None]:
    """No connection → NotConnected, with what to correct."""
    try:
        yield
    except errors.NotConnected:
        raise
    except psycopg.Error as exc:
        lacks_password = exc.pgconn is not None and exc.pgconn.needs_password
        fix = faults.refused(str(exc), lacks_password=lacks_password)
        words = f"Could not connect: {faults.sentence(str(exc))}"
        refused = _as_both(errors.NotConnected, exc, words, fix)
        refused.is_mistake = faults.is_mistake(str(exc), lacks_password=lacks_password)
        raise refused from exc


#: The text for what the driver itself refuses to send.
_NO_TEXT = "A name, key or text was given that Postgres cannot hold, so nothing was done"


def words(exc: Exception) -> str:
    """An error on one line; for errors of the driver without details and hints, which quote rows."""
    text = exc.diag.message_primary if isinstance(exc, psycopg.Error) and not _is_ours(exc) else None
    return " ".join((text or str(exc)).split()) or type(exc).__name__


def _is_ours(exc: Exception) -> bool:
    return isinstance(exc, errors.PgmqError)


def _as_both(kind: type[Told], exc: psycopg.Error, words: str, fix: str) -> Told:
    """Our error and the driver's in one: code that tries again after an outage catches the latter."""
    key = kind, type(exc)
    if key not in _both:
        _both[key] = type(
            kind.__name__,
            key,
            # Pickled, it is only our error.
            {"__module__": kind.__module__, "__reduce__": lambda self: (kind, (self.words, self.fix))},
        )
    told: Told = _both[key](words, fix)
    return told


_both: dict[tuple[type, type], Any] = {}


def _known(
    statement: Statement[Any] | None, exc: psycopg.Error, conn: psycopg.BaseConnection[Any]
) -> errors.PgmqError | None:
    text = exc.diag.message_primary or str(exc)
    state = exc.sqlstate
    is_known = state is not None or isinstance(exc, psycopg.OperationalError)
    if is_known and (fix := faults.fix(state)) is not None:
        words = f"The server did not finish: {faults.sentence(text)}"
        return _as_both(errors.BrokenOff, exc, words, fix)
    if statement is None or state is None:
        return None
    if state == _CODE_TOO_OLD:
        return errors.CodeTooOld(f"{text}. {exc.diag.message_hint}")
    if (meant := meaning(statement, _refusal(exc, state, text))) is not None:
        return meant
    if isinstance(exc, pg.InsufficientPrivilege):
        return _denied(exc, text, conn)
    return _missing(statement, exc) if isinstance(exc, _MISSING) else None


def _refusal(exc: psycopg.Error, sqlstate: str, text: str) -> Refusal:
    said = exc.diag
    return Refusal(
        sqlstate,
        text,
        detail=said.message_detail or "",
        constraint=said.constraint_name or "",
        table=said.table_name or "",
        function=said.source_function or "",
    )


def _denied(exc: psycopg.Error, text: str, conn: psycopg.BaseConnection[Any]) -> errors.PermissionDenied:
    denied = errors.PermissionDenied(
        f"{text}. The connection's role is {_role(conn)}; `{command('doctor')}` prints the GRANTs and "
        "policies that it lacks."
    )
    denied.reason = text
    # The text is in the server's language, the name of its function is not.
    denied.is_of_row = exc.diag.source_function == "ExecWithCheckOptions"
    return denied


def _role(conn: psycopg.BaseConnection[Any]) -> str:
    with suppress(psycopg.Error):
        return repr(conn.info.user)
    return "not known"


#: The SQLSTATE that our schema raises for code that is too old for it.
_CODE_TOO_OLD = "PQ001"

#: A table, schema, function or column is missing.
_MISSING = (pg.UndefinedTable, pg.InvalidSchemaName, pg.UndefinedFunction, pg.UndefinedColumn)

#: Columns that only PGMQ's tables have.
_OF_A_QUEUE = re.compile(r"\b(headers|archived_at|read_ct|vt)\b")


def _missing(statement: Statement[Any], exc: psycopg.Error) -> errors.PgmqError | None:
    """What seems to be missing; `what_is_missing` looks it up, after the transaction.

    Of the text only names are read, which are the same in every language.
    """
    text = exc.diag.message_primary or ""
    if isinstance(exc, pg.UndefinedColumn) and statement.queue_name and _OF_A_QUEUE.search(text):
        return errors.FeatureMissing(
            f"A table of queue {statement.queue_name!r} is not as PGMQ makes it ({text}). "
            f"`{command('doctor')}` names what it lacks, with the SQL; where all queues lack it, PGMQ is too "
            f"old: {documentation.UPGRADING} has a newer one."
        )
    if isinstance(exc, pg.UndefinedColumn) and "airflow_pgmq." in statement.sql:
        return errors.NotInstalled(
            f"The schema airflow_pgmq, or PGMQ, is older than this package ({text}): {faults.INSTALL} "
            f"{documentation.UPGRADING} has a newer PGMQ."
        )
    if "airflow_pgmq" in text:
        return errors.NotInstalled(f"The schema airflow_pgmq is missing or old ({text}): {faults.INSTALL}")
    if isinstance(exc, pg.UndefinedTable) and statement.queue_name and "pgmq.meta" not in text:
        return errors.QueueNotFound(statement.queue_name)
    if isinstance(exc, (pg.UndefinedFunction, pg.UndefinedColumn)):
        return errors.FeatureMissing(
            f"This PGMQ is too old for what was asked ({text}): {documentation.UPGRADING} has a newer one."
        )
    return errors.NotInstalled(f"PGMQ is not in this database: {faults.INSTALL}") if "pgmq" in text else None


def what_is_missing(exc: errors.PgmqError, found: Mapping[str, Any] | None) -> errors.PgmqError:
    """The error that is right for this database: without PGMQ, its queues are missing, too."""
    if isinstance(exc, errors.NotInstalled) and exc.__cause__ is None:
        return exc  # raised by the installer, with its reason
    if found is not None and not found["pgmq"]:
        return errors.NotInstalled(f"PGMQ is not in this database: {faults.INSTALL}")
    if isinstance(exc, errors.QueueNotFound) and found and found["queue"] and not found["archive"]:
        schema, archive = names.table(exc.queue_name, "a")
        lacking = errors.FeatureMissing(
            f"Queue {exc.queue_name!r} has no archive: {schema}.{archive} is missing. "
            f"`{command('doctor')}` has the SQL that makes it."
        )
        lacking.queue_name = exc.queue_name
        return lacking
    return exc
