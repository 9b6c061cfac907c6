"""What the commands share: the connection, errors that say what to do, output as Airflow prints it."""

from __future__ import annotations

import functools
import gc
import json
import re
import shlex
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any

from airflow.cli.simple_table import AirflowConsole
from airflow.configuration import conf
from airflow.exceptions import (  # type: ignore[attr-defined]
    AirflowException,
    AirflowNotFoundException,
)
from airflow.utils.cli import action_cli, suppress_logs_and_warning
from airflow.utils.providers_configuration_loader import providers_configuration_loaded
from rich.markup import escape

from airflow_pgmq.command_line import command
from airflow_pgmq.core import json_types, names
from airflow_pgmq.db.client import DriverError
from airflow_pgmq.db.driver.translation import words
from airflow_pgmq.errors import ConnectionNotFound, NotInstalled, PgmqError, QueueNotFound, Unanswered
from airflow_pgmq.hooks import PgmqHook

if TYPE_CHECKING:
    from argparse import Namespace

# A command ends soon, and what Airflow has imported until here remains to its end. To look at this half
# million of objects again, and once more at the end, takes Python a third of a second.
gc.freeze()

Command = Callable[["Namespace"], None]


def read_only(function: Command) -> Command:
    """Decorate a command that changes nothing: its errors are one line and exit code 1."""

    @functools.wraps(function)
    def run(args: Namespace) -> None:
        try:
            function(args)
        except QueueNotFound as exc:
            fail(with_conn_id(args, words(QueueNotFound(exc.queue_name, _similar(args, exc.queue_name)))))
        except (PgmqError, AirflowException, DriverError) as exc:
            is_about_all = isinstance(exc, (Unanswered, NotInstalled, DriverError))
            fail((f"Connection {args.conn_id}: " if is_about_all else "") + with_conn_id(args, words(exc)))

    wrapped: Command = suppress_logs_and_warning(providers_configuration_loaded(run))
    return wrapped


def audited(function: Command) -> Command:
    """Decorate a command that changes something: Airflow's audit log records it."""
    wrapped: Command = action_cli(check_db=False)(read_only(function))
    return wrapped


def hook_of(args: Namespace) -> PgmqHook:
    """The hook of `--conn-id`.

    :raises ConnectionNotFound: Airflow has no such connection
    """
    return PgmqHook(args.conn_id, connection=_connection(args.conn_id))


def _connection(conn_id: str) -> Any:
    """Look for a connection where Airflow's own commands do, but in the metadata database only at last.

    Airflow's model of a connection, of whatever origin, loads all other models, which takes 0.4 s. The Task
    SDK asks the secrets backend and the environment without it; its backend may be one of tasks only.
    """
    from airflow.sdk import Connection

    if not conf.get("workers", "secrets_backend", fallback=""):
        with suppress(AirflowException, ImportError):  # ImportError: Airflow 3.1.0, where it found none
            return Connection.get(conn_id)
    from airflow.models.connection import Connection as Model

    try:
        return Model.get_connection_from_secrets(conn_id)
    except AirflowNotFoundException:
        raise ConnectionNotFound(conn_id) from None


def with_conn_id(args: Namespace, text: str) -> str:
    """Add `--conn-id` to our commands in a text, unless the connection is the default one."""
    if args.conn_id == PgmqHook.default_conn_name:
        return text
    option = f" --conn-id {shlex.quote(args.conn_id)}"
    return re.sub(
        re.escape(command("")) + "((calendars|jobs) )?[a-z-]+", lambda found: found[0] + option, text
    )


def _similar(args: Namespace, queue_name: str) -> str | None:
    """A similar queue name that exists, if the queues can be listed."""
    with suppress(PgmqError, DriverError):
        return names.similar(queue_name, [queue.queue_name for queue in hook_of(args).list_queues()])
    return None


def show(args: Namespace, rows: Sequence[Mapping[str, Any]]) -> None:
    """Print rows. JSON and YAML keep types; tables show nested values as JSON."""
    console = AirflowConsole()
    shown = [{name: plain(value) for name, value in row.items()} for row in rows]
    if args.output == "json":
        console.print_as_json(shown)  # type: ignore[arg-type]
    elif args.output == "yaml":
        console.print_as_yaml(shown)  # type: ignore[arg-type]
    else:
        console.print_as(data=shown, output=args.output, mapper=functools.partial(_cells, args.output))


def confirm(args: Namespace, question: str) -> None:
    """Ask for confirmation unless `--yes`; exit with code 1 where nobody can answer."""
    if args.yes:
        return
    try:
        answer = input(f"{question} (y/n) ")
    except EOFError:
        fail("There is no terminal to confirm at.", "Add --yes.")
    if answer.strip().lower() not in ("y", "yes"):
        fail("Nothing was changed.")


def text_of(file: str) -> str:
    """The text of a file, or of standard input for `-`."""
    try:
        return sys.stdin.read() if file == "-" else Path(file).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as exc:
        return str(fail(f"{file} cannot be read: {exc}."))


def json_of(text: str, what: str) -> Any:
    """The value of a JSON text.

    :param what: what the text is, to begin the error
    """
    try:
        return json.loads(text, object_pairs_hook=json_types.once)
    except (ValueError, RecursionError) as exc:
        return fail(
            f"{what} is not JSON ({exc}).", "A string needs double quotes inside the shell's: '\"text\"'."
        )


def object_of(text: str | None, option: str) -> dict[str, Any] | None:
    """The JSON object of an option, if it is given."""
    value = None if text is None else json_of(text, option)
    if value is not None and not isinstance(value, dict):
        fail(f'{option} must be a JSON object, such as \'{{"team": "x"}}\'.')
    return value


def tabular(args: Namespace) -> bool:
    """Whether the output is a table, which should have few columns."""
    return args.output in ("table", "plain")


def fail(text: str, fix: str = "") -> Any:
    """End with exit code 1."""
    note(" ".join(filter(None, [text.rstrip(), fix])))
    raise SystemExit(1)


def note(text: str) -> None:
    """Print to standard error what is not part of the output."""
    print(text, file=sys.stderr)  # noqa: T201 - a command's own output


def say(text: str) -> None:
    """Print what was done."""
    print(text)  # noqa: T201 - a command's own output


def plain(value: Any) -> Any:
    """The value in JSON types."""
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, Mapping):
        return {name: plain(each) for name, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(each) for each in value]
    # Types that JSON does not have are shown by `str`.
    return value if isinstance(value, (str, int, float, bool, type(None))) else str(value)


def _cells(output: str, row: Mapping[str, Any]) -> dict[str, str]:
    cells = {name: _cell(value) for name, value in row.items()}
    # rich would read brackets in a table's cells as markup.
    return {name: escape(cell) for name, cell in cells.items()} if output == "table" else cells


def _cell(value: Any) -> str:
    if value is None:
        return ""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
