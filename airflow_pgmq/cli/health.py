"""`airflow pgmq health`."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from airflow.exceptions import AirflowException  # type: ignore[attr-defined]

from airflow_pgmq.cli.session import fail, hook_of, note, read_only, say, show, tabular, with_conn_id
from airflow_pgmq.db.client import DriverError
from airflow_pgmq.db.driver.translation import words
from airflow_pgmq.errors import PgmqError
from airflow_pgmq.services.health import examine

if TYPE_CHECKING:
    from argparse import Namespace

#: A year, in seconds.
LONGEST = 366 * 86_400


@read_only
def health(args: Namespace) -> None:
    """Print what is wrong; exit code 1 if something is, 2 if that cannot be known."""
    # Comparisons with NaN are always false.
    if not 0 < args.max_age <= LONGEST:
        fail(f"--max-age must be a number of seconds up to {LONGEST}, a year.")
    max_age = timedelta(seconds=args.max_age)
    try:
        found = hook_of(args).client.run(lambda: examine(max_age))
    except (PgmqError, AirflowException, DriverError) as exc:
        why = f"Connection {args.conn_id}: {with_conn_id(args, words(exc))}"
        if not tabular(args):
            show(args, [{"healthy": False, "error": why}])
        note(why)
        raise SystemExit(2) from None
    if tabular(args):
        say(str(found))
    else:
        show(args, [found.as_dict()])
    if not found.is_good:
        raise SystemExit(1)
