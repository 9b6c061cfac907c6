"""The commands and their arguments. A command's code is imported only when it runs."""

from __future__ import annotations

from airflow.cli.cli_config import ARG_OUTPUT, Arg, GroupCommand

from airflow_pgmq.cli import job_commands
from airflow_pgmq.cli.arguments import (
    ARG_DEAD_LETTER_QUEUE,
    ARG_DELAY,
    ARG_MSG_IDS,
    ARG_NO_NOTIFY,
    ARG_QUEUE,
    ARG_YES,
    command_of,
)

__all__ = ["get_commands"]


def get_commands() -> list[GroupCommand]:
    """The command group that Airflow adds to its command line."""
    return [
        GroupCommand(
            name="pgmq",
            help="Message queues inside Postgres",
            description="Message queues inside Postgres. Begin with `init QUEUE`; `doctor` finds problems.",
            subcommands=(
                *_DATABASE,
                *_QUEUES,
                job_commands.LIVE_JOBS,
                *job_commands.JOBS,
                job_commands.CALENDARS,
            ),
        )
    ]


_DATABASE = (
    command_of(
        "init",
        "database",
        "Install PGMQ and the schema airflow_pgmq, and create queues",
        Arg(
            ("queue_names",),
            help="Queues to make where missing; those that exist announce their messages from now on, too",
            nargs="*",
            metavar="queue_name",
        ),
        ARG_NO_NOTIFY,
        more="Can be repeated: messages and settings of an existing queue stay as they are.",
    ),
    command_of(
        "doctor",
        "database",
        "Find what is wrong with a connection, its database, queues and jobs, and print the fixes",
        ARG_OUTPUT,
        more="Changes nothing. Exit code 1 if there is an error, 0 with warnings only.",
    ),
    command_of(
        "health",
        "health",
        "Say whether periodic jobs run: no slot is overdue, and each namespace was ticked",
        Arg(
            ("--max-age",),
            help="Seconds within which a namespace must have been ticked (default: 300)",
            type=float,
            default=300.0,
        ),
        ARG_OUTPUT,
        more="Changes nothing. Exit code 0 if so, 1 if not, 2 if that cannot be known.",
    ),
    command_of(
        "maintain",
        "database",
        "Take samples of the queues, archive expired messages, prune",
        Arg(
            ("--archive-days",),
            help="Remove archived messages older than this many days (default: keep them)",
            type=float,
        ),
        ARG_OUTPUT,
        more="Run it every minute, or use a PgmqMaintenanceOperator instead.",
    ),
)

_QUEUES = (
    command_of(
        "create",
        "queues",
        "Create queues that announce their messages",
        Arg(
            ("queue_names",),
            help="Queues to make where missing; those that exist announce their messages from now on, too",
            nargs="+",
            metavar="queue_name",
        ),
        Arg(("--unlogged",), help="Faster, but a server crash empties the queues", action="store_true"),
        ARG_NO_NOTIFY,
        more="Needs PGMQ, which `init` installs.",
    ),
    command_of(
        "drop",
        "queues",
        "Drop a queue with its messages, its archive and its dedup keys",
        ARG_QUEUE,
        ARG_YES,
    ),
    command_of(
        "pause-queue",
        "queues",
        "Pause a queue: our consumers read nothing, senders go on",
        ARG_QUEUE,
        Arg(("--reason",), help="Why, for people", default=""),
        more="What is in flight is finished. It stays paused until `resume-queue`.",
    ),
    command_of(
        "resume-queue",
        "queues",
        "Let consumers read a paused queue again",
        ARG_QUEUE,
    ),
    command_of(
        "queues",
        "queues",
        "List queues with their lengths, ages and problems",
        Arg(("queue_names",), help="Only these", nargs="*", metavar="queue_name"),
        ARG_OUTPUT,
    ),
    command_of(
        "peek",
        "queues",
        "Show messages without reading them",
        ARG_QUEUE,
        Arg(
            ("--source",),
            help="Where to look (default: queue); dead letters are in their own queue",
            choices=("queue", "archive"),
            default="queue",
        ),
        Arg(("--unredacted",), help="Show the values of [pgmq] redact_keys, too", action="store_true"),
        Arg(("--dedup-key",), help="Only with this dedup key"),
        Arg(("--job",), help="Only of this periodic job"),
        Arg(("--msg-id",), help="Only this message", type=int),
        Arg(("--after",), help="Only after this msg_id", type=int),
        Arg(("--limit",), help="At most this many (default: 10)", type=int, default=10),
        ARG_OUTPUT,
        more="Does not change read_ct and vt.",
    ),
    command_of(
        "send",
        "queues",
        "Send a message",
        ARG_QUEUE,
        Arg(("message",), help="The message as JSON; - reads it from standard input"),
        Arg(("--headers",), help="JSON object"),
        ARG_DELAY,
        Arg(
            ("--ttl",),
            help="Seconds after it becomes visible; then consumers archive it without processing it",
        ),
        Arg(("--group",), help="FIFO group"),
        Arg(("--dedup-key",), help="Send it at most once"),
        Arg(("--dedup-scope",), help="(default: once)", choices=("once", "queued"), default="once"),
        Arg(("--on-duplicate",), help="(default: skip)", choices=("skip", "replace", "fail"), default="skip"),
        ARG_OUTPUT,
    ),
    command_of(
        "cancel",
        "queues",
        "Archive unread messages, by their dedup keys",
        ARG_QUEUE,
        Arg(("dedup_keys",), help="Dedup keys", nargs="+", metavar="dedup_key"),
        ARG_YES,
        more="The keys stay taken: sending again is a duplicate. A slot's key is <namespace>/<job>/<slot>.",
    ),
    command_of(
        "requeue",
        "queues",
        "Requeue dead letters, or archived messages, into their queue",
        ARG_QUEUE,
        ARG_MSG_IDS,
        Arg(
            ("--source",),
            help="Where they come from (default: dead_letters); the archive needs --msg-ids",
            choices=("dead_letters", "archive"),
            default="dead_letters",
        ),
        ARG_DEAD_LETTER_QUEUE,
        Arg(
            ("--max-messages",),
            help="At most this many, oldest first (default: 1000)",
            type=int,
            default=1000,
        ),
        ARG_DELAY,
        ARG_YES,
    ),
    command_of(
        "purge",
        "queues",
        "Delete every message of a queue, also those in flight",
        ARG_QUEUE,
        Arg(
            ("--with-slots",),
            help="Also slots of periodic jobs that wait for their time: they are never sent then",
            action="store_true",
        ),
        ARG_YES,
        more="The messages are not archived. Slots of periodic jobs that wait for their time stay.",
    ),
)
