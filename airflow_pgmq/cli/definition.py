"""The commands and their arguments; what they do is imported by the one that runs."""

from __future__ import annotations

from airflow.cli.cli_config import (
    ARG_OUTPUT,
    ARG_VERBOSE,
    ActionCommand,
    Arg,
    GroupCommand,
    lazy_load_command,
)

__all__ = ["get_commands"]

ARG_CONN_ID = Arg(
    ("--conn-id",), help="Airflow connection of the queues (default: pgmq_default)", default="pgmq_default"
)
ARG_YES = Arg(("-y", "--yes"), help="Do not ask to confirm", action="store_true")
ARG_QUEUE = Arg(("queue_name",), help="Queue")
ARG_NAMESPACE = Arg(("namespace",), help="Namespace of the job: the id of its Dag unless that says otherwise")
ARG_JOB = Arg(("name",), help="Periodic job")
ARG_MSG_IDS = Arg(("--msg-ids",), help="Only these messages", type=int, nargs="+", metavar="MSG_ID")
ARG_DELAY = Arg(("--delay",), help="Seconds, or an ISO 8601 instant, until messages become visible")
ARG_DEAD_LETTER_QUEUE = Arg(("--dead-letter-queue",), help="Where dead letters are (default: <queue>_dlq)")

ARG_NO_NOTIFY = Arg(
    ("--no-notify",),
    help="Do not let queues announce their messages: waiters look every 5 seconds (those that do so go on)",
    action="store_true",
)


def get_commands() -> list[GroupCommand]:
    """What Airflow adds to its command line."""
    return [
        GroupCommand(
            name="pgmq",
            help="Queues inside Postgres",
            description="Queues inside Postgres. Begin with `init QUEUE`; `doctor` says what is wrong.",
            subcommands=(*_DATABASE, *_QUEUES, *_JOBS),
        )
    ]


def _command(name: str, module: str, help_: str, *args: Arg, more: str | None = None) -> ActionCommand:
    function = name.replace("-", "_")
    return ActionCommand(
        name=name,
        help=help_,
        description=f"{help_}. {more}" if more else None,
        func=lazy_load_command(f"airflow_pgmq.cli.{module}.{function}"),
        args=(*args, ARG_CONN_ID, ARG_VERBOSE),
    )


_DATABASE = (
    _command(
        "init",
        "database",
        "Install PGMQ and the schema airflow_pgmq, and make queues",
        Arg(
            ("queue_names",),
            help="Queues to make where missing; those that exist announce their messages from now on, too",
            nargs="*",
            metavar="queue_name",
        ),
        ARG_NO_NOTIFY,
        more="Does nothing that is done already: of a queue that exists, messages and settings stay.",
    ),
    _command(
        "doctor",
        "database",
        "Find what is wrong with a connection, its database, queues and jobs, and print the mends",
        ARG_OUTPUT,
        more="Changes nothing. Exit code 1 if there is an error, 0 with warnings only.",
    ),
    _command(
        "maintain",
        "database",
        "Take samples of the queues, archive expired messages, prune",
        Arg(
            ("--archive-days",),
            help="Remove archived messages that are older than so many days (default: keep them)",
            type=float,
        ),
        ARG_OUTPUT,
        more="To be run every minute, by a PgmqMaintenanceOperator or by this.",
    ),
)

_QUEUES = (
    _command(
        "create",
        "queues",
        "Make queues that announce their messages",
        Arg(
            ("queue_names",),
            help="Queues to make where missing; those that exist announce their messages from now on, too",
            nargs="+",
            metavar="queue_name",
        ),
        Arg(("--unlogged",), help="Faster, but a crash of the server empties them", action="store_true"),
        ARG_NO_NOTIFY,
        more="Needs PGMQ, which `init` installs.",
    ),
    _command(
        "drop",
        "queues",
        "Remove a queue with its messages, its archive and its dedup keys",
        ARG_QUEUE,
        ARG_YES,
    ),
    _command(
        "queues",
        "queues",
        "List queues with their lengths, ages and problems",
        Arg(("queue_names",), help="Only these", nargs="*", metavar="queue_name"),
        ARG_OUTPUT,
    ),
    _command(
        "peek",
        "queues",
        "Show messages without reading them",
        ARG_QUEUE,
        Arg(
            ("--source",),
            help="Where to look (default: queue); dead letters are in a queue of their own",
            choices=("queue", "archive"),
            default="queue",
        ),
        Arg(("--unredacted",), help="With the values of [pgmq] redact_keys", action="store_true"),
        Arg(("--dedup-key",), help="Only with this dedup key"),
        Arg(("--job",), help="Only of this periodic job"),
        Arg(("--msg-id",), help="Only this message", type=int),
        Arg(("--after",), help="Only after this msg_id", type=int),
        Arg(("--limit",), help="At most so many (default: 10)", type=int, default=10),
        ARG_OUTPUT,
        more="Leaves read_ct and vt as they are.",
    ),
    _command(
        "send",
        "queues",
        "Send a message",
        ARG_QUEUE,
        Arg(("message",), help="JSON; - reads it from standard input"),
        Arg(("--headers",), help="JSON object"),
        ARG_DELAY,
        Arg(("--ttl",), help="Seconds from when it becomes visible, after which consumers archive it unseen"),
        Arg(("--group",), help="FIFO group"),
        Arg(("--dedup-key",), help="Send it at most once"),
        Arg(("--dedup-scope",), help="(default: once)", choices=("once", "queued"), default="once"),
        Arg(("--on-duplicate",), help="(default: skip)", choices=("skip", "replace", "fail"), default="skip"),
        ARG_OUTPUT,
    ),
    _command(
        "cancel",
        "queues",
        "Archive messages that wait unread, by their dedup keys",
        ARG_QUEUE,
        Arg(("dedup_keys",), help="Dedup keys", nargs="+", metavar="dedup_key"),
        ARG_YES,
        more="The keys stay taken. A job's slot has the key <namespace>/<job>/<slot>.",
    ),
    _command(
        "requeue",
        "queues",
        "Bring dead letters, or archived messages, back into their queue",
        ARG_QUEUE,
        ARG_MSG_IDS,
        Arg(
            ("--source",),
            help="Where they come from (default: dead_letters); of the archive, say which ones",
            choices=("dead_letters", "archive"),
            default="dead_letters",
        ),
        ARG_DEAD_LETTER_QUEUE,
        Arg(
            ("--max-messages",), help="At most so many, oldest first (default: 1000)", type=int, default=1000
        ),
        ARG_DELAY,
        ARG_YES,
    ),
    _command(
        "purge",
        "queues",
        "Remove every message of a queue, those in flight too",
        ARG_QUEUE,
        ARG_YES,
        more="They are deleted, not archived.",
    ),
)

_JOBS = (
    _command(
        "jobs",
        "jobs",
        "List periodic jobs",
        Arg(("namespace",), help="Only of this namespace", nargs="?"),
        ARG_OUTPUT,
    ),
    _command(
        "pause",
        "jobs",
        "Stop a periodic job and take back what it enqueued ahead of time",
        ARG_NAMESPACE,
        ARG_JOB,
    ),
    _command(
        "resume",
        "jobs",
        "Let a paused job go on; its next tick catches up by its policy",
        ARG_NAMESPACE,
        ARG_JOB,
    ),
    _command(
        "run-now",
        "jobs",
        "Send one message of a periodic job at once, next to its slots",
        ARG_NAMESPACE,
        ARG_JOB,
        ARG_OUTPUT,
    ),
)
