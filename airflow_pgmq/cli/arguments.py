"""Arguments that several commands have, and how a command is made of its arguments."""

from __future__ import annotations

from airflow.cli.cli_config import ARG_VERBOSE, ActionCommand, Arg, lazy_load_command

ARG_CONN_ID = Arg(
    ("--conn-id",), help="Airflow connection of the queues (default: pgmq_default)", default="pgmq_default"
)
ARG_YES = Arg(("-y", "--yes"), help="Do not ask to confirm", action="store_true")
ARG_QUEUE = Arg(("queue_name",), help="Queue")
ARG_NAMESPACE = Arg(("namespace",), help="Namespace of the job: its Dag's id unless the Dag sets another")
ARG_JOB = Arg(("name",), help="Periodic job")
ARG_CALENDAR = Arg(("name",), help="Calendar")
ARG_FORMAT = Arg(("--format",), help="(default: yaml)", choices=("yaml", "python"), default="yaml")
ARG_MSG_IDS = Arg(("--msg-ids",), help="Only these messages", type=int, nargs="+", metavar="MSG_ID")
ARG_DELAY = Arg(("--delay",), help="Seconds, or an ISO 8601 instant, until messages become visible")
ARG_DEAD_LETTER_QUEUE = Arg(("--dead-letter-queue",), help="Where dead letters are (default: <queue>_dlq)")

ARG_NO_NOTIFY = Arg(
    ("--no-notify",),
    help="Do not switch on notifications of inserts: waiters then poll every 5 seconds",
    action="store_true",
)


def command_of(
    name: str, module: str, help_: str, *args: Arg, more: str | None = None, function: str = ""
) -> ActionCommand:
    function = function or name.replace("-", "_")
    return ActionCommand(
        name=name,
        help=help_,
        description=f"{help_}. {more}" if more else None,
        func=lazy_load_command(f"airflow_pgmq.cli.{module}.{function}"),
        args=(*args, ARG_CONN_ID, ARG_VERBOSE),
    )
