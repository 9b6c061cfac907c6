"""The commands for queues and what is bound to them."""

from __future__ import annotations

from airflow.cli.cli_config import ARG_OUTPUT, Arg

from airflow_pgmq.cli.arguments import ARG_NO_NOTIFY, ARG_QUEUE, ARG_YES, command_of

ARG_PATTERN = Arg(("pattern",), help="Segments with dots between; * is one segment, # any number of them")

TOPICS = (
    command_of(
        "bind",
        "topics",
        "Let a queue get what is sent to topics that match a pattern",
        ARG_PATTERN,
        ARG_QUEUE,
        more="Needs PGMQ 1.11.",
    ),
    command_of("unbind", "topics", "Undo a binding", ARG_PATTERN, ARG_QUEUE),
    command_of(
        "topics",
        "topics",
        "List which patterns are bound to which queues",
        Arg(("queue_name",), help="Only of this queue", nargs="?"),
        ARG_OUTPUT,
    ),
)

QUEUES = (
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
        "groups",
        "groups",
        "List groups of a queue that is read in order, and what holds them back",
        ARG_QUEUE,
        Arg(("--limit",), help="At most this many (default: 100)", type=int, default=100),
        ARG_OUTPUT,
        more="Those that are held back come first. Counting the messages of a group ends at 1,000.",
    ),
    command_of(
        "resume-group",
        "groups",
        "Let a stopped group go on, with the message that stopped it",
        ARG_QUEUE,
        Arg(("group",), help="The group, as `groups` lists it"),
        Arg(
            ("--dead-letter",),
            help="Without it: the message becomes a dead letter, and the next one is read",
            action="store_true",
        ),
        ARG_YES,
    ),
    command_of(
        "index-groups",
        "groups",
        "Build the index that reading in order needs, and announce acks",
        ARG_QUEUE,
        more="The first read in order does the same. On a huge queue, senders wait meanwhile.",
    ),
    command_of(
        "queues",
        "queues",
        "List queues with their lengths, ages and problems",
        Arg(("queue_names",), help="Only these", nargs="*", metavar="queue_name"),
        ARG_OUTPUT,
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
