"""The commands for periodic jobs and their calendars."""

from __future__ import annotations

from airflow.cli.cli_config import ARG_OUTPUT, Arg, GroupCommand

from airflow_pgmq.cli.arguments import (
    ARG_CALENDAR,
    ARG_FORMAT,
    ARG_JOB,
    ARG_NAMESPACE,
    ARG_YES,
    command_of,
)

JOBS = (
    command_of(
        "skip",
        "jobs",
        "Leave out one slot of a periodic job",
        ARG_NAMESPACE,
        ARG_JOB,
        Arg(("slot",), help="ISO 8601 instant of the slot, such as 2026-06-01T06:00:00Z"),
        more="A message that waits for it is taken back. `run-now --slot` sends it after all.",
    ),
    command_of(
        "pause",
        "jobs",
        "Pause a periodic job and take back the messages that it enqueued ahead of time",
        ARG_NAMESPACE,
        ARG_JOB,
    ),
    command_of(
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
    command_of(
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
LIVE_JOBS = GroupCommand(
    name="jobs",
    help="Periodic jobs; live ones can be changed here",
    description="Periodic jobs. Those of Dags are declared there; live jobs are added and changed here.",
    subcommands=(
        command_of(
            "list",
            "jobs",
            "List periodic jobs",
            Arg(("namespace",), help="Only of this namespace", nargs="?"),
            ARG_OUTPUT,
            function="list_jobs",
        ),
        command_of(
            "add",
            "live_jobs",
            "Make a live job",
            ARG_NAMESPACE,
            ARG_JOB,
            *_FIELDS,
            more="The PgmqPeriodicOperator of the namespace ticks it.",
        ),
        command_of(
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
        command_of(
            "remove", "live_jobs", "Delete a live job", ARG_NAMESPACE, ARG_JOB, ARG_EXPECTED_VERSION, ARG_YES
        ),
        command_of(
            "versions",
            "live_jobs",
            "Show who changed a live job, when, and to what",
            ARG_NAMESPACE,
            ARG_JOB,
            ARG_OUTPUT,
        ),
        command_of(
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
        command_of(
            "export",
            "live_jobs",
            "Print the jobs of a namespace as YAML or Python",
            ARG_NAMESPACE,
            Arg(("--live",), help="Only live jobs", action="store_true"),
            ARG_FORMAT,
        ),
        command_of(
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

CALENDARS = GroupCommand(
    name="calendars",
    help="Days off that periodic jobs leave out",
    description="Days off that periodic jobs leave out, with exclude=[Calendar(NAME)].",
    subcommands=(
        command_of("list", "calendars", "List calendars", ARG_OUTPUT, function="list_calendars"),
        command_of(
            "show",
            "calendars",
            "Show the days of a calendar",
            ARG_CALENDAR,
            ARG_OUTPUT,
            function="show_calendar",
        ),
        command_of(
            "put",
            "calendars",
            "Make a calendar, or replace its days",
            ARG_CALENDAR,
            Arg(("file",), help="A line for each day: 2026-12-25 Christmas; - reads standard input"),
            more="Jobs that use it follow at their next tick.",
            function="put_calendar",
        ),
        command_of(
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
