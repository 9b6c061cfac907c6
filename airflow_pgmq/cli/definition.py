"""The commands and their arguments. A command's code is imported only when it runs."""

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


def get_commands() -> list[GroupCommand]:
    """The command group that Airflow adds to its command line."""
    return [
        GroupCommand(
            name="pgmq",
            help="Message queues inside Postgres",
            description="Message queues inside Postgres. Begin with `init QUEUE`; `doctor` finds problems.",
            subcommands=(*_DATABASE, *_QUEUES, _LIVE_JOBS, *_JOBS, _CALENDARS),
        )
    ]


def _command(
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


_DATABASE = (
    _command(
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
    _command(
        "doctor",
        "database",
        "Find what is wrong with a connection, its database, queues and jobs, and print the fixes",
        ARG_OUTPUT,
        more="Changes nothing. Exit code 1 if there is an error, 0 with warnings only.",
    ),
    _command(
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
    _command(
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
    _command(
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
    _command(
        "drop",
        "queues",
        "Drop a queue with its messages, its archive and its dedup keys",
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
    _command(
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
    _command(
        "cancel",
        "queues",
        "Archive unread messages, by their dedup keys",
        ARG_QUEUE,
        Arg(("dedup_keys",), help="Dedup keys", nargs="+", metavar="dedup_key"),
        ARG_YES,
        more="The keys stay taken: sending again is a duplicate. A slot's key is <namespace>/<job>/<slot>.",
    ),
    _command(
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
    _command(
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

_JOBS = (
    _command(
        "skip",
        "jobs",
        "Leave out one slot of a periodic job",
        ARG_NAMESPACE,
        ARG_JOB,
        Arg(("slot",), help="ISO 8601 instant of the slot, such as 2026-06-01T06:00:00Z"),
        more="A message that waits for it is taken back. `run-now --slot` sends it after all.",
    ),
    _command(
        "pause",
        "jobs",
        "Pause a periodic job and take back the messages that it enqueued ahead of time",
        ARG_NAMESPACE,
        ARG_JOB,
    ),
    _command(
        "resume",
        "jobs",
        "Resume a paused job; its next tick catches up by the job's policy",
        ARG_NAMESPACE,
        ARG_JOB,
        Arg(
            ("--catch-up",),
            help="What becomes of the slots of the pause (default: what the job says)",
            choices=("all", "last", "none"),
        ),
    ),
    _command(
        "run-now",
        "jobs",
        "Send one message of a periodic job now, in addition to its slots",
        ARG_NAMESPACE,
        ARG_JOB,
        Arg(("--slot",), help="As if for this slot, an ISO 8601 instant, also of the past (default: now)"),
        ARG_OUTPUT,
    ),
)

_FIELDS = (
    Arg(("--schedule",), help="Cron expression; other schedules as JSON with --set schedule=…"),
    Arg(("--queue-name",), help="Queue"),
    Arg(("--message",), help="The message as JSON"),
    Arg(("--timezone",), help="Time zone of the schedule (default: UTC)"),
    Arg(
        ("--set",),
        help="Any other field of a job, as JSON or text: --set ttl=PT1H --set overlap=skip",
        action="append",
        metavar="FIELD=VALUE",
    ),
)
ARG_EXPECTED_VERSION = Arg(
    ("--expected-version",), help="Only if it is at this version (default: whichever it is at)", type=int
)
_LIVE_JOBS = GroupCommand(
    name="jobs",
    help="Periodic jobs; live ones can be changed here",
    description="Periodic jobs. Those of Dags are declared there; live jobs are added and changed here.",
    subcommands=(
        _command(
            "list",
            "jobs",
            "List periodic jobs",
            Arg(("namespace",), help="Only of this namespace", nargs="?"),
            ARG_OUTPUT,
            function="list_jobs",
        ),
        _command(
            "add",
            "live_jobs",
            "Make a live job",
            ARG_NAMESPACE,
            ARG_JOB,
            *_FIELDS,
            more="The PgmqPeriodicOperator of the namespace ticks it.",
        ),
        _command(
            "edit",
            "live_jobs",
            "Change a live job",
            ARG_NAMESPACE,
            ARG_JOB,
            *_FIELDS,
            Arg(("--restore",), help="As it was at this version", type=int, metavar="VERSION"),
            ARG_EXPECTED_VERSION,
            more="What is not given stays. Waiting messages of the old definition are taken back.",
        ),
        _command(
            "remove", "live_jobs", "Delete a live job", ARG_NAMESPACE, ARG_JOB, ARG_EXPECTED_VERSION, ARG_YES
        ),
        _command(
            "versions",
            "live_jobs",
            "Show who changed a live job, when, and to what",
            ARG_NAMESPACE,
            ARG_JOB,
            ARG_OUTPUT,
        ),
        _command(
            "preview",
            "live_jobs",
            "Show the next slots of a schedule or a job",
            Arg(("namespace",), help="Namespace of a job that is known", nargs="?"),
            Arg(("name",), help="That job; without it, --schedule is needed", nargs="?"),
            *_FIELDS,
            Arg(("--after",), help="Later than this ISO 8601 instant (default: now)"),
            Arg(("--limit",), help="How many (default: 5)", type=int, default=5),
            ARG_OUTPUT,
            more="Changes nothing.",
        ),
        _command(
            "export",
            "live_jobs",
            "Print the jobs of a namespace as YAML or Python",
            ARG_NAMESPACE,
            Arg(("--live",), help="Only live jobs", action="store_true"),
            ARG_FORMAT,
        ),
        _command(
            "import",
            "importing",
            "Show the jobs of another scheduler as periodic jobs, and put them as live ones",
            Arg(
                ("--from",),
                dest="kind",
                help="What they come from; yaml is what `jobs export` prints",
                choices=("crontab", "pg_cron", "celery-beat", "django-celery-beat", "sidekiq-cron", "yaml"),
                required=True,
            ),
            Arg(
                ("source",),
                help="File, or - for standard input; of tables a DSN without password (default: --conn-id)",
                nargs="?",
                metavar="FILE-or-DSN",
            ),
            Arg(("--namespace",), help="Where to put them (default: imported)", default="imported"),
            Arg(("--queue-name",), help="Where they send to (default: imported)", default="imported"),
            Arg(("--timezone",), help="Time zone of schedules that name none (default: UTC)"),
            Arg(
                ("--system",),
                help="The crontab has a column for the user, as /etc/crontab has",
                action="store_true",
            ),
            ARG_FORMAT,
            Arg(("-y", "--yes"), help="Put them; without it nothing is changed", action="store_true"),
            more="What cannot be translated is refused with the reason, on standard error.",
            function="import_jobs",
        ),
    ),
)

_CALENDARS = GroupCommand(
    name="calendars",
    help="Days off that periodic jobs leave out",
    description="Days off that periodic jobs leave out, with exclude=[Calendar(NAME)].",
    subcommands=(
        _command("list", "calendars", "List calendars", ARG_OUTPUT, function="list_calendars"),
        _command(
            "show",
            "calendars",
            "Show the days of a calendar",
            ARG_CALENDAR,
            ARG_OUTPUT,
            function="show_calendar",
        ),
        _command(
            "put",
            "calendars",
            "Make a calendar, or replace its days",
            ARG_CALENDAR,
            Arg(("file",), help="A line for each day: 2026-12-25 Christmas; - reads standard input"),
            more="Jobs that use it follow at their next tick.",
            function="put_calendar",
        ),
        _command(
            "delete",
            "calendars",
            "Delete a calendar",
            ARG_CALENDAR,
            ARG_YES,
            more="Jobs that use it are reported by each tick, and wait for it.",
            function="delete_calendar",
        ),
    ),
)
