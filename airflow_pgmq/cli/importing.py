"""`airflow pgmq jobs import`: what other schedulers have becomes live jobs."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from airflow_pgmq.cli.session import audited, fail, hook_of, note, read_only, say, text_of
from airflow_pgmq.core import job_documents
from airflow_pgmq.core.importing import celery_beat, crontab, django_celery_beat, pg_cron, sidekiq_cron
from airflow_pgmq.core.importing.imported import Imported, Refused
from airflow_pgmq.core.jobs import PeriodicJob
from airflow_pgmq.core.live_jobs import is_same
from airflow_pgmq.core.messages import Row
from airflow_pgmq.core.wording import number_of
from airflow_pgmq.db.client import Client, arguments_of, connect
from airflow_pgmq.db.statements import Work, importing

if TYPE_CHECKING:
    from argparse import Namespace

#: Read from a file, by the words of `--from`.
_FILES: Mapping[str, Callable[..., Imported]] = {
    "crontab": crontab.read,
    "celery-beat": celery_beat.read,
    "sidekiq-cron": sidekiq_cron.read,
}
#: Read from tables.
_TABLES: Mapping[str, tuple[Callable[[], Work[Sequence[Row]]], Callable[..., Imported]]] = {
    "pg_cron": (importing.pg_cron_jobs, pg_cron.read),
    "django-celery-beat": (importing.django_celery_beat_tasks, django_celery_beat.read),
}
#: What `jobs export` writes.
_OWN = "yaml"


@read_only
def import_jobs(args: Namespace) -> None:
    """Show what the jobs of another scheduler become and, with `--yes`, put them."""
    found = _read(args)
    for text in found.notes:
        note(f"Check {text}")
    jobs = list(found.jobs)
    if args.yes:
        jobs, known = _left(args, jobs)
        found = Imported(found.jobs, (*found.refused, *known))
    for each in found.refused:
        text = f" ({' '.join(each.text.split())})" if each.text else ""
        note(f"Refused {each.source}{text}: {each.why}.")
    counted = f"{number_of(len(jobs), 'job', 'jobs')}, {len(found.refused)} refused"
    if not args.yes:
        write = job_documents.python if args.format == "python" else job_documents.dump
        if jobs:
            say(write(jobs).rstrip("\n"))
        note(f"{counted}. Nothing was changed: --yes puts them as live jobs into namespace {args.namespace}.")
    elif jobs:
        _put(jobs)(args)
    else:
        fail(f"{counted}: nothing was changed.")


def _put(jobs: Sequence[PeriodicJob]) -> Callable[[Namespace], None]:
    @audited
    def import_jobs(args: Namespace) -> None:
        hook_of(args).put_jobs(args.namespace, jobs)
        say(f"{number_of(len(jobs), 'live job is', 'live jobs are')} now in namespace {args.namespace}.")
        note(f"Its PgmqPeriodicOperator(namespace={args.namespace!r}, live=True) sends their slots.")

    return import_jobs


def _left(args: Namespace, jobs: Sequence[PeriodicJob]) -> tuple[list[PeriodicJob], list[Refused]]:
    """The jobs that are new, or as they are there already; the others somebody has changed since."""
    rows = {row["name"]: row for row in hook_of(args).list_jobs(args.namespace)}
    left, known = [], []
    for job in jobs:
        row = rows.get(job.name)
        if row is None or (row["live"] and is_same(job, row["definition"])):
            left.append(job)
            continue
        whose = "a live job has" if row["live"] else "the Dag declares a job with"
        why = f"{whose} this name, with another definition, and stays: remove that one, or use --namespace"
        known.append(Refused(job.name, "", why))
    return left, known


def _read(args: Namespace) -> Imported:
    kind, source = args.kind, args.source
    if args.system and kind != "crontab":
        fail("--system is for crontab: it says that the file has a column for the user.")
    given: dict[str, Any] = {"queue_name": args.queue_name}
    if args.timezone is not None:
        given["timezone"] = args.timezone
    if kind in _TABLES:
        statement, read_rows = _TABLES[kind]
        client = hook_of(args).client if source is None else _client(source)
        return read_rows(client.run(statement), **given)
    if source is None:
        fail(f"Name the file with the jobs of {kind}, or - for standard input.")
    text, shown = text_of(source), "" if source == "-" else source
    if kind == _OWN:
        return Imported(tuple(job_documents.parse(text, shown)))
    return _FILES[kind](text, **given, **({"system": True} if args.system else {}))


def _client(dsn: str) -> Client:
    arguments = arguments_of(dsn)
    if not {"password", "sslpassword"}.isdisjoint(arguments):
        fail(
            "Others can read the password in a command line, and Airflow keeps it in its audit log.",
            "Leave it out and set PGPASSWORD or ~/.pgpass, or use --conn-id without a DSN.",
        )
    return Client(lambda: connect(arguments))
