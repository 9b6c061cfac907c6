"""Installing: PGMQ where it is missing, our own schema, one installer at a time."""

from __future__ import annotations

from collections.abc import Callable

from airflow_pgmq.command_line import command
from airflow_pgmq.core import names
from airflow_pgmq.core.messages import Row
from airflow_pgmq.db.sql import code, migrations
from airflow_pgmq.db.statements import Flow, Statement, first, scalar
from airflow_pgmq.errors import FeatureMissing, NotInstalled, PermissionDenied, documentation


def installed(queue_name: str | None = None) -> Statement[Row]:
    """What is there: `pgmq`, `schema_installed`, and of a queue its table (`queue`) and `archive`."""
    params: dict[str, str | None] = {"table": None, "archive": None}
    if queue_name is not None:
        params = {"table": names.table(queue_name)[1], "archive": names.table(queue_name, "a")[1]}
    return Statement("installed", params, decode=lambda rows: rows[0])


def known() -> Flow[int | None]:
    """The newest migration in the database; 0 without our schema, None where its rows are hidden."""
    found = yield installed()
    if not found["schema_installed"]:
        return 0
    number: int | None = yield newest_migration()
    return number


def newest_migration() -> Statement[int | None]:
    """The same, if our schema is there."""
    return Statement("schema_version", decode=scalar("number"))


def admitted() -> Statement[None]:
    """An error if the schema says that this code is too old for it.

    :raises CodeTooOld: the schema says so
    """
    return Statement("admitted", {"code": code()})


def version() -> Flow[int]:
    """The newest migration in the database; 0 without our schema.

    :raises PermissionDenied: row level security hides it
    """
    number = yield from known()
    if number is None:
        raise PermissionDenied(
            "airflow_pgmq.migrations shows this role no row: row level security hides them. "
            f"{documentation.PERMISSIONS} has the policies that a role needs."
        )
    return number


def is_current() -> Flow[bool]:
    """Whether our schema is at least as new as this package, and allows it.

    :raises CodeTooOld: it does not
    """
    number = yield from version()
    if number > code():
        # A newer schema may not allow this code.
        yield admitted()
    return number >= code()


def install(script: Callable[[], str | None]) -> Flow[list[str]]:
    """Install what is missing; `script` returns PGMQ's own SQL if the extension is not available.

    Returns what was done, for people. Idempotent; a lock makes parallel calls wait for each other.
    """
    yield Statement("install_lock")
    done = yield from _install_pgmq(script)
    at = yield from version()
    for number, text in migrations().items():
        if number > at:
            yield Statement("migrate", script=text)
            yield Statement("migration_done", {"number": number})
            done.append(f"airflow_pgmq schema: migration {number}")
    return done


def _extension() -> Statement[Row | None]:
    """Whether the server offers the extension, and which PGMQ is installed."""
    return Statement("pgmq_extension", decode=first)


def not_allowed(exc: PermissionDenied) -> NotInstalled:
    """The error of a role that may not install."""
    return NotInstalled(
        f"The schema airflow_pgmq is missing or old and this role may not install it ({exc.reason or exc}). "
        f"Let a role that may create schemas run `{command('init')}` once, and give this one the GRANTs of "
        f"{documentation.PERMISSIONS}."
    )


def _install_pgmq(script: Callable[[], str | None]) -> Flow[list[str]]:
    found = yield installed()
    done: list[str] = []
    if not found["pgmq"]:
        extension = yield _extension()
        if extension["available"]:
            yield Statement("create_extension")
            done.append("PGMQ: extension")
        elif text := script():
            yield Statement("pgmq_script", script=text)
            done.append("PGMQ: SQL of the official client")
        else:
            raise NotInstalled(
                "PGMQ is not in this database and the server does not offer the extension. Get PGMQ as plain "
                f"SQL (pip install 'airflow-provider-pgmq[sql]') and run `{command('init')}` again, or "
                "install the server's pgmq package."
            )
    extension = yield _extension()
    if not extension["headers"]:
        raise FeatureMissing(
            "This PGMQ is older than 1.5.0 and knows no headers; run ALTER EXTENSION pgmq UPDATE."
        )
    return done
