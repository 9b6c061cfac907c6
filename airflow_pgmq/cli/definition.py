"""The commands and their arguments. A command's code is imported only when it runs."""

from __future__ import annotations

from airflow.cli.cli_config import ARG_OUTPUT, Arg, GroupCommand

from airflow_pgmq.cli import job_commands, message_commands, queue_commands
from airflow_pgmq.cli.arguments import ARG_NO_NOTIFY, command_of

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
                *queue_commands.QUEUES,
                *message_commands.MESSAGES,
                *queue_commands.TOPICS,
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
