"""`airflow pgmq init | doctor | maintain`."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING

from airflow_pgmq import metrics
from airflow_pgmq.cli.queues import check_names, make_queues
from airflow_pgmq.cli.session import audited, fail, hook_of, read_only, say, show, tabular, with_conn_id
from airflow_pgmq.core import diagnoses
from airflow_pgmq.errors import ConnectionNotFound
from airflow_pgmq.services import maintenance
from airflow_pgmq.services.doctor import examine

if TYPE_CHECKING:
    from argparse import Namespace

#: A century.
MOST_DAYS = 36_500


@audited
def init(args: Namespace) -> None:
    """Install PGMQ and our schema, and create queues that announce their messages."""
    hook = hook_of(args)
    check_names(hook, args.queue_names)
    done = [*hook.install(), *make_queues(args, hook)]
    say("\n".join(done) or "Everything is there already.")


@read_only
def doctor(args: Namespace) -> None:
    """Print what is wrong; exit code 1 if there is an error."""
    try:
        problems = examine(hook_of(args).client)
    except ConnectionNotFound as exc:
        problems = [diagnoses.unknown_connection(exc)]
    found = [replace(each, fix=with_conn_id(args, each.fix)) for each in problems]
    if tabular(args):
        for each in found:
            say(f"{each.severity} {each.code}: {each.text}\n{_indented(each.fix)}\n    {each.address}\n")
        errors = sum(each.severity == "error" for each in found)
        counts = f"errors: {errors}, warnings: {len(found) - errors}" if found else "nothing is wrong"
        say(f"Connection {args.conn_id}: {counts}.")
    else:
        show(args, [each.as_dict() for each in found])
    if any(each.severity == "error" for each in found):
        raise SystemExit(1)


@read_only
def maintain(args: Namespace) -> None:
    """Sample, archive, prune. Not in the audit log: run every minute, it would fill the log."""
    days = args.archive_days
    # Python and Postgres cannot hold every number as a time, and comparisons with NaN are always false.
    if days is not None and not 0 <= days <= MOST_DAYS:
        fail(f"--archive-days must be from 0 to {MOST_DAYS}.")
    client = hook_of(args).client
    summary = maintenance.maintain(client, archive_retention=None if days is None else timedelta(days=days))
    metrics.count_queues(client)
    for namespace, count in summary.overdue_by_namespace.items():
        metrics.overdue(namespace, count)
    show(args, [summary.as_dict()])


def _indented(fix: str) -> str:
    return "\n".join(f"    {line}" for line in fix.splitlines())
