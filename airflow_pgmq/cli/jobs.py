"""`airflow pgmq jobs list | pause | resume | run-now`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow_pgmq.cli.session import audited, fail, hook_of, note, read_only, say, show, tabular
from airflow_pgmq.core import iso8601, slots
from airflow_pgmq.core.wording import number_of
from airflow_pgmq.services import overview

if TYPE_CHECKING:
    from argparse import Namespace


@read_only
def list_jobs(args: Namespace) -> None:
    """List jobs; JSON and YAML include their last slots."""
    found = overview.jobs(hook_of(args).client, args.namespace)
    show(args, [_short(row) for row in found["jobs"]] if tabular(args) else found["jobs"])
    if not found["jobs"]:
        note(
            "No periodic job is registered. The first run of a PgmqPeriodicOperator registers its jobs; "
            "`jobs add` makes a live one."
        )
    for each in found["jobs"]:
        if each["paused_for"]:
            note(f"Job {each['namespace']}/{each['name']} was paused by a tick: {each['paused_for']}.")
    for each in found["namespaces"]:
        for problem in each["problems"]:
            note(f"{problem['text']} {problem['fix']}")


@audited
def pause(args: Namespace) -> None:
    """Pause a job."""
    taken_back = hook_of(args).pause_job(args.namespace, args.name)
    taken = number_of(taken_back, "waiting message was", "waiting messages were")
    say(f"Job {args.namespace}/{args.name} is paused; {taken} taken back.")


@audited
def resume(args: Namespace) -> None:
    """Resume a paused job."""
    hook_of(args).resume_job(args.namespace, args.name, catch_up=args.catch_up)
    say(f"Job {args.namespace}/{args.name} is resumed; its next tick sends again.")


@audited
def run_now(args: Namespace) -> None:
    """Send one message of a job now."""
    slot = iso8601.of_header(args.slot)
    if args.slot is not None and slot is None:
        fail(f"{args.slot!r} is not an ISO 8601 instant with a time zone, such as 2026-06-01T06:00:00Z.")
    show(args, [hook_of(args).run_job_now(args.namespace, args.name, slot=slot).as_dict()])


@audited
def skip(args: Namespace) -> None:
    """Leave out one slot of a job."""
    slot = iso8601.of_header(args.slot)
    if slot is None:
        fail(f"{args.slot!r} is not an ISO 8601 instant with a time zone, such as 2026-06-01T06:00:00Z.")
        return
    hook_of(args).skip_slot(args.namespace, args.name, slot)
    say(f"Slot {slots.text(slot)} of job {args.namespace}/{args.name} is left out.")


def _short(row: dict[str, Any]) -> dict[str, Any]:
    return {
        **{name: row[name] for name in ("namespace", "name", "schedule", "timezone", "queue_name")},
        "live": "yes" if row["live"] else "",
        "paused": "yes" if row["paused"] else "",
        "next_slot": next(iter(row["next_slots"]), None),
        "last_slot": row["last_slot"],
        "problems": ", ".join(problem["code"] for problem in row["problems"]),
    }
