"""The commands for messages."""

from __future__ import annotations

from airflow.cli.cli_config import ARG_OUTPUT, Arg

from airflow_pgmq.cli.arguments import (
    ARG_DEAD_LETTER_QUEUE,
    ARG_DELAY,
    ARG_MSG_IDS,
    ARG_QUEUE,
    ARG_YES,
    command_of,
)

_SENDING = (
    Arg(("--headers",), help="JSON object"),
    ARG_DELAY,
    Arg(
        ("--ttl",),
        help="Seconds after it becomes visible; then consumers archive it without processing it",
    ),
    Arg(("--group",), help="FIFO group"),
)
ARG_DEDUP_SCOPE = Arg(("--dedup-scope",), help="(default: once)", choices=("once", "queued"), default="once")

ARG_UNREDACTED = Arg(
    ("--unredacted",),
    help="Show the values of the option redact_keys (section pgmq), too",
    action="store_true",
)
ARG_THESE_MSG_IDS = Arg(
    ("--msg-ids",), help="These messages", type=int, nargs="+", metavar="MSG_ID", required=True
)

MESSAGES = (
    command_of(
        "peek",
        "messages",
        "Show messages without reading them",
        ARG_QUEUE,
        Arg(
            ("--source",),
            help="Where to look (default: queue); dead letters are in their own queue",
            choices=("queue", "archive"),
            default="queue",
        ),
        ARG_UNREDACTED,
        Arg(("--dedup-key",), help="Only with this dedup key"),
        Arg(("--job",), help="Only of this periodic job"),
        Arg(("--msg-id",), help="Only this message", type=int),
        Arg(("--after",), help="Only after this msg_id", type=int),
        Arg(("--limit",), help="At most this many (default: 10)", type=int, default=10),
        ARG_OUTPUT,
        more="Does not change read_ct and vt.",
    ),
    command_of(
        "tail",
        "tailing",
        "Show new messages as they come, without reading them",
        ARG_QUEUE,
        Arg(("--from-start",), help="And those that are in the queue already", action="store_true"),
        Arg(("--last",), help="And the newest of them, this many", type=int, metavar="N"),
        Arg(("--limit",), help="End after this many (default: never)", type=int),
        Arg(("--json",), help="A JSON object on each line", action="store_true"),
        ARG_UNREDACTED,
        more="Does not change read_ct and vt. Ctrl-C ends it.",
    ),
    command_of(
        "send",
        "sending",
        "Send a message",
        ARG_QUEUE,
        Arg(("message",), help="The message as JSON; - reads it from standard input"),
        *_SENDING,
        Arg(("--dedup-key",), help="Send it at most once"),
        ARG_DEDUP_SCOPE,
        Arg(("--on-duplicate",), help="(default: skip)", choices=("skip", "replace", "fail"), default="skip"),
        ARG_OUTPUT,
    ),
    command_of(
        "send-batch",
        "sending",
        "Send many messages: JSON lines, one message on each line",
        ARG_QUEUE,
        Arg(("file",), help="Where they are (default: standard input)", nargs="?", default="-"),
        *_SENDING,
        Arg(("--dedup-field",), help="The field of each message that is its dedup key"),
        ARG_DEDUP_SCOPE,
        Arg(("--on-duplicate",), help="(default: skip)", choices=("skip", "replace"), default="skip"),
        Arg(("--from-line",), help="Begin with this line (default: 1)", type=int, default=1),
        ARG_OUTPUT,
        more="They are sent in parts of up to 5,000, each committed by itself; an error says what is sent.",
    ),
    command_of(
        "read",
        "messages",
        "Read messages, oldest first, and hide them from other readers for a while",
        ARG_QUEUE,
        Arg(("--max-messages",), help="At most this many (default: 1)", type=int, default=1),
        Arg(
            ("--visibility-timeout",),
            help="Whole seconds for which they are hidden unless they are acked (default: 30)",
            type=float,
            default=30.0,
        ),
        Arg(("--condition",), help="JSON object: only messages that contain it"),
        Arg(("--headers-condition",), help="JSON object: only messages whose headers contain it"),
        Arg(
            ("--ordered",), help="Of each group the next one, once no other of it is out", action="store_true"
        ),
        ARG_UNREDACTED,
        ARG_OUTPUT,
        more="It counts in read_ct. Ack them with `archive`, or they are visible again.",
    ),
    command_of(
        "archive",
        "messages",
        "Ack messages: move them to the queue's archive",
        ARG_QUEUE,
        ARG_THESE_MSG_IDS,
        more="Nothing tells whether another reader has read them since; consumers use acks that do.",
    ),
    command_of(
        "delete",
        "messages",
        "Delete messages, which `archive` would keep",
        ARG_QUEUE,
        ARG_THESE_MSG_IDS,
        ARG_YES,
    ),
    command_of(
        "cancel",
        "messages",
        "Archive unread messages, by their dedup keys",
        ARG_QUEUE,
        Arg(("dedup_keys",), help="Dedup keys", nargs="+", metavar="dedup_key"),
        ARG_YES,
        more="The keys stay taken: sending again is a duplicate. A slot's key is <namespace>/<job>/<slot>.",
    ),
    command_of(
        "requeue",
        "messages",
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
)
