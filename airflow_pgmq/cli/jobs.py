"""`airflow pgmq jobs | pause | resume | run-now`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow_pgmq.cli.session import changes, hook, looks, note, say, show, tabular
from airflow_pgmq.core.wording import number_of
from airflow_pgmq.services import overview

if TYPE_CHECKING:
    from argparse import Namespace


@looks
def jobs(args: Namespace) -> None:
    """List jobs, in JSON and YAML with their last slots."""
    found = overview.jobs(hook(args).client, args.namespace)
    show(args, [_short(row) for row in found["jobs"]] if tabular(args) else found["jobs"])
    if not found["jobs"]:
        note("No periodic job is registered: that is done by the first run of its PgmqPeriodicOperator.")
    for each in found["namespaces"]:
        for problem in each["problems"]:
            note(f"{problem['text']} {problem['mend']}")


@changes
def pause(args: Namespace) -> None:
    """Stop a job."""
    withdrawn = hook(args).pause_job(args.namespace, args.name)
    taken = number_of(withdrawn, "waiting message was", "waiting messages were")
    say(f"Job {args.namespace}/{args.name} is paused; {taken} taken back.")


@changes
def resume(args: Namespace) -> None:
    """Let a job go on."""
    hook(args).resume_job(args.namespace, args.name)
    say(f"Job {args.namespace}/{args.name} goes on with its next tick.")


@changes
def run_now(args: Namespace) -> None:
    """Send one message of a job."""
    show(args, [hook(args).run_job_now(args.namespace, args.name).as_dict()])


def _short(row: dict[str, Any]) -> dict[str, Any]:
    return {
        **{name: row[name] for name in ("namespace", "name", "cron", "timezone", "queue_name")},
        "paused": "yes" if row["paused"] else "",
        "next_slot": next(iter(row["next_slots"]), None),
        "last_slot": row["last_slot"],
        "problems": ", ".join(problem["code"] for problem in row["problems"]),
    }
