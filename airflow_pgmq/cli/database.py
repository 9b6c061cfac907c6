"""`airflow pgmq init | doctor | maintain`."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING

from airflow_pgmq import metrics
from airflow_pgmq.cli.queues import check_names, make_queues
from airflow_pgmq.cli.session import changes, fail, here, hook, looks, say, show, tabular
from airflow_pgmq.core import diagnoses
from airflow_pgmq.errors import ConnectionNotFound
from airflow_pgmq.services import doctor as examination
from airflow_pgmq.services import maintenance

if TYPE_CHECKING:
    from argparse import Namespace

#: A century.
MOST_DAYS = 36_500


@changes
def init(args: Namespace) -> None:
    """Install, and make queues that announce their messages."""
    ours = hook(args)
    check_names(ours, args.queue_names)
    done = [*ours.install(), *make_queues(args, ours)]
    say("\n".join(done) or "Everything is there already.")


@looks
def doctor(args: Namespace) -> None:
    """Print what is wrong; exit code 1 if there is an error."""
    try:
        problems = examination.examine(hook(args).client)
    except ConnectionNotFound as exc:
        problems = [diagnoses.unknown_connection(exc)]
    found = [replace(each, mend=here(args, each.mend)) for each in problems]
    if tabular(args):
        for each in found:
            say(f"{each.severity} {each.code}: {each.text}\n{_indented(each.mend)}\n")
        errors = sum(each.severity == "error" for each in found)
        counts = f"errors: {errors}, warnings: {len(found) - errors}" if found else "nothing is wrong"
        say(f"Connection {args.conn_id}: {counts}.")
    else:
        show(args, [each.as_dict() for each in found])
    if any(each.severity == "error" for each in found):
        raise SystemExit(1)


@looks
def maintain(args: Namespace) -> None:
    """Do what is to be done every minute. Not in the audit log, of which it would be the most part."""
    days = args.archive_days
    # Not every number is a time that Python or Postgres can hold, and NaN is not even less than another.
    if days is not None and not 0 <= days <= MOST_DAYS:
        fail(f"--archive-days must be from 0 to {MOST_DAYS}.")
    client = hook(args).client
    summary = maintenance.maintain(client, archive_retention=None if days is None else timedelta(days=days))
    metrics.look(client)
    show(args, [summary.as_dict()])


def _indented(mend: str) -> str:
    return "\n".join(f"    {line}" for line in mend.splitlines())
