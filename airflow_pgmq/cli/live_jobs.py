"""`airflow pgmq jobs add | edit | remove | versions | preview | export`."""

from __future__ import annotations

import json
from datetime import tzinfo
from typing import TYPE_CHECKING, Any

from airflow_pgmq.cli.session import audited, confirm, fail, hook_of, note, read_only, say, show
from airflow_pgmq.core import iso8601, job_documents, stored_jobs
from airflow_pgmq.core.jobs import PeriodicJob
from airflow_pgmq.core.live_jobs import JobVersion
from airflow_pgmq.core.schedule.zones import time_zone
from airflow_pgmq.core.wording import number_of
from airflow_pgmq.errors import JobDeclared, JobNotFound

if TYPE_CHECKING:
    from argparse import Namespace

    from airflow_pgmq.hooks import PgmqHook

#: Options that are fields of a job.
_OPTIONS = ("schedule", "queue_name", "message", "timezone")


@audited
def add(args: Namespace) -> None:
    """Make a live job."""
    job = job_documents.from_mapping({"name": args.name, **_given(args)})
    hook = hook_of(args)
    hook.put_job(args.namespace, job, expected_version=0)
    say(f"Live job {args.namespace}/{args.name} is added; the next tick of {args.namespace} sends its slots.")
    _say_next(hook, job)


@audited
def edit(args: Namespace) -> None:
    """Change a live job, or restore one of its versions."""
    hook = hook_of(args)
    versions = _versions_of(hook, args.namespace, args.name)
    current = versions[0]
    expected = current.version if args.expected_version is None else args.expected_version
    given = _given(args)
    if args.restore is not None:
        job = _job_of(args, _version(args, versions))
    elif current.definition is None:
        fail(
            f"Live job {args.namespace}/{args.name} is deleted.",
            f"--restore {versions[1].version} makes it again as it was." if len(versions) > 1 else "",
        )
    else:
        job = _job_of(args, current)
    if given:
        job = job_documents.from_mapping({**job_documents.as_mapping(job), **given})
    elif args.restore is None:
        fail(
            "Nothing to change.", "Give --schedule, --queue-name, --message, --timezone, --set or --restore."
        )
    # Of a deleted job, the version does not count: it does not exist.
    version = hook.put_job(
        args.namespace, job, expected_version=0 if current.definition is None else expected
    )
    say(f"Live job {args.namespace}/{args.name} is at version {version}.")
    _say_next(hook, job)


@audited
def remove(args: Namespace) -> None:
    """Delete a live job."""
    confirm(args, f"Delete live job {args.namespace}/{args.name}?")
    taken_back = hook_of(args).delete_job(args.namespace, args.name, expected_version=args.expected_version)
    taken = number_of(taken_back, "waiting message was", "waiting messages were")
    say(f"Live job {args.namespace}/{args.name} is deleted; {taken} taken back.")


@read_only
def versions(args: Namespace) -> None:
    """Show the versions of a live job."""
    found = _versions_of(hook_of(args), args.namespace, args.name)
    show(args, [_row(each) for each in found])


@read_only
def preview(args: Namespace) -> None:
    """Show the next slots of a schedule, or of a job that is known."""
    hook = hook_of(args)
    after = iso8601.of_header(args.after)
    if args.after is not None and after is None:
        fail(f"{args.after!r} is not an ISO 8601 instant with a time zone, such as 2026-06-01T06:00:00Z.")
    if args.namespace is None:
        given = {"name": "preview", "queue_name": "preview", **_given(args)}
        job = job_documents.from_mapping(given)
    elif args.name is None:
        fail("Give a namespace and a name, or neither and --schedule.")
    else:
        job = _stored(hook, args.namespace, args.name)
        if given := _given(args):
            job = job_documents.from_mapping({**job_documents.as_mapping(job), **given})
    slots = hook.next_slots(job, args.limit, after)
    show(args, [{"slot": slot, "local": slot.astimezone(_zone(job))} for slot in slots])
    if not slots:
        note("The schedule has no slot after that.")


@read_only
def export(args: Namespace) -> None:
    """Print jobs as a file that `jobs_from_yaml` reads, or as Python."""
    rows = hook_of(args).list_jobs(args.namespace)
    chosen = [row for row in rows if row["live"] or not args.live]
    jobs = [_read(f"{row['namespace']}/{row['name']}", row["name"], row["definition"]) for row in chosen]
    if not jobs:
        fail("There is no such job.", "`jobs list` shows the namespaces.")
    write = job_documents.python if args.format == "python" else job_documents.dump
    say(write(jobs).rstrip("\n"))


def _given(args: Namespace) -> dict[str, Any]:
    """The fields of a job that are options."""
    given = {name: getattr(args, name) for name in _OPTIONS if getattr(args, name) is not None}
    if "message" in given:
        try:
            given["message"] = json.loads(given["message"])
        except ValueError as exc:
            fail(f"--message must be JSON: {exc}.", "Quote it for the shell, as in '{\"a\": 1}'.")
    for each in args.set or ():
        name, sign, text = each.partition("=")
        if not sign:
            fail(f"--set needs FIELD=VALUE, such as ttl=PT1H, not {each!r}.")
        given[name.strip()] = _value(text)
    return given


def _value(text: str) -> Any:
    """JSON, or else the text itself."""
    try:
        return json.loads(text)
    except ValueError:
        return text


def _versions_of(hook: PgmqHook, namespace: str, name: str) -> list[JobVersion]:
    """Those of a live job; of one that a Dag declares, where it is."""
    try:
        return hook.job_versions(namespace, name)
    except JobNotFound:
        for row in hook.list_jobs(namespace):
            if row["name"] == name:
                raise JobDeclared(namespace, [name], row["owner"]) from None
        raise


def _stored(hook: PgmqHook, namespace: str, name: str) -> PeriodicJob:
    for row in hook.list_jobs(namespace):
        if row["name"] == name:
            return _read(f"{namespace}/{name}", name, row["definition"])
    raise JobNotFound(namespace, name)


def _job_of(args: Namespace, version: JobVersion) -> PeriodicJob:
    return _read(f"{args.namespace}/{args.name}", version.name, version.definition)


def _read(shown: str, name: str, definition: Any) -> PeriodicJob:
    try:
        return stored_jobs.read(name, definition)
    except stored_jobs.UNREADABLE as exc:
        fail(f"This version of airflow_pgmq cannot read job {shown}: {stored_jobs.unreadable(exc)}.")
        raise


def _version(args: Namespace, versions: list[JobVersion]) -> JobVersion:
    for each in versions:
        if each.version == args.restore and each.definition is not None:
            return each
    known = ", ".join(str(each.version) for each in versions if each.definition is not None)
    return fail(f"There is no version {args.restore} to restore.", f"There are {known}.")  # type: ignore[no-any-return]


def _row(each: JobVersion) -> dict[str, Any]:
    definition = each.definition or {}
    return {
        "version": each.version,
        "changed_at": each.changed_at,
        "changed_by": each.changed_by,
        "what": "put" if each.definition is not None else "deleted",
        "definition": dict(definition) or None,
    }


def _say_next(hook: PgmqHook, job: PeriodicJob) -> None:
    slots = hook.next_slots(job, 3)
    said = ", ".join(slot.astimezone(_zone(job)).isoformat() for slot in slots)
    say(f"Its next slots: {said or 'none'}.")


def _zone(job: PeriodicJob) -> tzinfo:
    return time_zone(job.timezone)
