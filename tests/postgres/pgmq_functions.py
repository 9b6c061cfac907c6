"""Every function of PGMQ, and what reaches it; `python -m tests.postgres.pgmq_functions` writes the page.

Since when each exists was read in PGMQ's own scripts, of the releases from 1.5.0 to 1.13.0.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

PAGE = Path(__file__).parents[2] / "docs" / "reference" / "pgmq_functions.md"

#: The oldest PGMQ that this package works with; what it has may be older.
OLDEST = "1.5.0"


@dataclass(frozen=True)
class Form:
    """One form of a function: the types of its arguments."""

    arguments: str
    since: str = OLDEST
    #: The first release without it.
    until: str | None = None
    #: What is new in it, where other forms are older.
    adds: str = ""


@dataclass(frozen=True)
class Function:
    """A function of PGMQ: its forms, and who reaches it; or why nobody does."""

    name: str
    forms: tuple[Form, ...]
    hook: str = ""
    operator: str = ""
    command: str = ""
    why_not: str = ""

    @property
    def since(self) -> str:
        """For the page."""
        first = min((form.since for form in self.forms), key=numbers)
        later = [f"{form.adds}: {form.since}" for form in self.forms if form.adds]
        return "; ".join([first, *dict.fromkeys(later)])


def numbers(version: str) -> tuple[int, ...]:
    """A version, to be compared."""
    return tuple(map(int, version.split(".")))


def of(name: str, arguments: str, since: str = OLDEST, **places: str) -> Function:
    """A function with one form."""
    return Function(name, (Form(arguments, since),), **places)


_INSTANT = "timestamp with time zone"
_SEND = ["jsonb", "jsonb, jsonb", "jsonb, integer", f"jsonb, {_INSTANT}", "jsonb, jsonb, integer"]
_SEND.append(f"jsonb, jsonb, {_INSTANT}")
_GROUPED = "text, integer, integer"
_POLL = "text, integer, integer, integer, integer"
_INSTEAD_OF_POLLS = "`wait`, then `read`"

REACHED: dict[str, list[Function]] = {
    "Queues": [
        of(
            "create",
            "text",
            hook="`create_queue`",
            operator="`PgmqQueueOperator`",
            command="`create`, `init`",
        ),
        of(
            "create_unlogged",
            "text",
            hook="`create_queue(unlogged=True)`",
            operator="`PgmqQueueOperator(unlogged=True)`",
            command="`create --unlogged`",
        ),
        Function(
            "create_partitioned",
            (
                Form("text, text, text", until="1.13.0"),
                Form("text, text, text, integer", "1.13.0", adds="`premake`"),
            ),
            hook="`create_queue(partition_interval=…, retention_interval=…, premake=…)`",
            operator="`PgmqQueueOperator(partition_interval=…)`",
            command="`create`",
        ),
        of(
            "convert_archive_partitioned",
            "text, text, text, integer",
            hook="`convert_archive_partitioned`",
        ),
        of(
            "drop_queue",
            "text",
            hook="`drop_queue`",
            operator='`PgmqQueueOperator(action="drop")`',
            command="`drop`",
        ),
        of("list_queues", "", hook="`list_queues`", command="`queues`"),
        of(
            "purge_queue",
            "text",
            hook="`purge(with_slots=True)`",
            operator='`PgmqQueueOperator(action="purge")`',
            command="`purge`",
        ),
        of("metrics", "text", hook="`metrics`", command="`queues`"),
        of("metrics_all", "", hook="`metrics_all`", command="`queues`"),
    ],
    "Sending": [
        Function(
            "send",
            tuple(Form(f"text, {each}") for each in _SEND),
            hook="`send`",
            operator="`PgmqSendOperator`, `PgmqNotifier`",
            command="`send`",
        ),
        Function(
            "send_batch",
            tuple(Form(f"text, {each}".replace("jsonb", "jsonb[]")) for each in _SEND),
            hook="`send_batch`, `send_from_query`",
            operator="`PgmqSendOperator`, `SqlToPgmqOperator`",
            command="`send-batch`",
        ),
    ],
    "Topics": [
        of(
            "bind_topic",
            "text, text",
            "1.11.0",
            hook="`bind_topic`",
            operator="`PgmqQueueOperator(topics=…)`",
            command="`bind`",
        ),
        of(
            "unbind_topic",
            "text, text",
            "1.11.0",
            hook="`unbind_topic`",
            operator='`PgmqQueueOperator(action="unbind")`',
            command="`unbind`",
        ),
        Function(
            "list_topic_bindings",
            (Form("", "1.11.0"), Form("text", "1.11.0")),
            hook="`topics()`, `topics(queue_name)`",
            command="`topics`",
        ),
        of("test_routing", "text", "1.11.0", hook="`test_routing`"),
        of("validate_routing_key", "text", "1.11.0", hook="`validate_routing_key`"),
        of("validate_topic_pattern", "text", "1.11.0", hook="`validate_topic_pattern`"),
        Function(
            "send_topic",
            tuple(
                Form(f"text, {each}", "1.11.0")
                for each in ("jsonb", "jsonb, integer", "jsonb, jsonb, integer")
            ),
            hook="`send_topic`",
            operator="`PgmqSendTopicOperator`",
        ),
        Function(
            "send_batch_topic",
            tuple(Form(f"text, {each}".replace("jsonb", "jsonb[]"), "1.11.0") for each in _SEND),
            hook="`send_batch_topic`",
            operator="`PgmqSendTopicOperator`",
        ),
    ],
    "Reading": [
        of(
            "read",
            "text, integer, integer, jsonb",
            hook="`read`, `consume`",
            operator="`@task.pgmq`, `PgmqConsumeOperator`, `PgmqSensor`, `PgmqToSqlOperator`",
            command="`read`",
        ),
        of(
            "read_with_poll",
            "text, integer, integer, integer, integer, jsonb",
            hook=_INSTEAD_OF_POLLS,
            operator="`PgmqSensor`",
            command="`tail` to look on",
        ),
        of("read_grouped", _GROUPED, "1.9.0", hook="`read_grouped`, or `read(ordered=True)`"),
        of(
            "read_grouped_rr",
            _GROUPED,
            "1.9.0",
            hook="`read_grouped_rr`, or `read(ordered=True)`",
        ),
        of(
            "read_grouped_head",
            _GROUPED,
            "1.11.1",
            hook="`read_grouped_head`, or `read(ordered=True)`",
        ),
        of("read_grouped_with_poll", _POLL, "1.9.0", hook="`wait`, then `read_grouped`"),
        of("read_grouped_rr_with_poll", _POLL, "1.9.0", hook="`wait`, then `read_grouped_rr`"),
        of("read_grouped_head_with_poll", _POLL, "1.12.0", hook="`wait`, then `read_grouped_head`"),
        Function(
            "pop",
            (Form("text", until="1.7.0"), Form("text, integer", "1.7.0", adds="several")),
            hook="`pop`",
        ),
    ],
    "Messages that were read": [
        Function(
            "archive",
            (Form("text, bigint"), Form("text, bigint[]")),
            hook="`archive`",
            operator="`PgmqAckOperator`",
            command="`archive`",
        ),
        Function(
            "delete",
            (Form("text, bigint"), Form("text, bigint[]")),
            hook="`delete`",
            operator='`PgmqAckOperator(ack="delete")`',
            command="`delete`",
        ),
        Function(
            "set_vt",
            (
                Form("text, bigint, integer"),
                Form("text, bigint[], integer", "1.8.0", adds="several"),
                Form(f"text, bigint, {_INSTANT}", "1.11.0", adds="an instant"),
                Form(f"text, bigint[], {_INSTANT}", "1.11.0", adds="an instant"),
            ),
            hook="`extend`, `release`",
            operator="`PgmqExtendOperator`, `PgmqReleaseOperator`",
        ),
    ],
    "Indexes and notifications": [
        of(
            "create_fifo_index",
            "text",
            "1.9.0",
            hook="`create_fifo_index`, or `index_groups`",
        ),
        of("create_fifo_indexes_all", "", "1.9.0", hook="`create_fifo_indexes_all`"),
        Function(
            "enable_notify_insert",
            (Form("text", "1.7.0", until="1.8.0"), Form("text, integer", "1.8.0", adds="a throttle")),
            hook="`enable_notify_insert`, or better `enable_notify`",
        ),
        of(
            "disable_notify_insert",
            "text",
            "1.7.0",
            hook="`disable_notify_insert`",
        ),
        of("update_notify_insert", "text, integer", "1.11.0", hook="`update_notify_insert`"),
        of("list_notify_insert_throttles", "", "1.11.0", hook="`list_notify_insert_throttles`"),
    ],
}

#: What begins with `_` is PGMQ's own business, too, and is not listed.
NOT_REACHED = [
    of(
        "acquire_queue_lock",
        "text",
        "1.6.0",
        why_not="a lock inside of PGMQ, which our verbs take, too",
    ),
    of("create_non_partitioned", "text", why_not="what `create` calls"),
    of("detach_archive", "text", why_not="it does nothing since 1.6.0, and will be removed"),
    of("drop_queue", "text, boolean", why_not="the old form of `drop_queue(text)`, which will be removed"),
    of("format_table_name", "text, text", why_not="inside of PGMQ: the table of a queue"),
    of("notify_queue_listeners", "", "1.7.0", why_not="the function of PGMQ's notify trigger"),
    of("validate_queue_name", "text", why_not="inside of PGMQ; `create_queue` is stricter, and says why"),
]

_TOP = """# PGMQ's functions in this package

Each function of PGMQ 1.13, and what reaches it: a method of `PgmqHook`, an operator, a command. A test
compares the page with the PGMQ that is installed, so a function that a newer one adds is decided about.
*Since* is the first PGMQ that has it; what PGMQ 1.5.0, the oldest that this package works with, has may be
older. If a call needs a newer PGMQ than the installed one, the error names the version, and nothing is done
([upgrading](../production/upgrading.md)).

Not every verb calls the function of its row. `send`, `release`, `consume` and others have SQL of their own,
because they do more than PGMQ's: dedup keys, delays of half a second, fences, tries. These work with every
PGMQ since 1.5.0.
"""
_POLLS = """
PGMQ's reads `…_with_poll` sleep in the server, in a transaction that stays open. `hook.wait` and
`PgmqSensor` listen instead, so a message is there at once, and nobody's VACUUM waits. The [grouped
reads](../guides/ordering.md#what-it-costs) are PGMQ's own: among several readers their order does not hold,
that of `ordered=True` does.
"""
_REST = """
## Not reached

| function | why not | since |
|---|---|---|
| all that begin with `_` | helpers inside of PGMQ, which may change with each release | |
"""


def written() -> str:
    """The page."""
    parts = [_TOP]
    for title, functions in REACHED.items():
        parts.append(
            f"\n## {title}\n\n| function | hook | operator | command | since |\n|---|---|---|---|---|\n"
        )
        parts += [
            f"| `{each.name}` | {each.hook} | {each.operator} | {each.command} | {each.since} |\n"
            for each in functions
        ]
        if title == "Reading":
            parts.append(_POLLS)
    parts.append(_REST)
    parts += [
        f"| `{each.name}({each.forms[0].arguments})` | {each.why_not} | {each.since} |\n"
        for each in NOT_REACHED
    ]
    return "".join(parts)


def known(version: str) -> set[str]:
    """The functions that this PGMQ has, `name(types of arguments)`."""
    return {
        f"{function.name}({form.arguments})"
        for function in [*(each for part in REACHED.values() for each in part), *NOT_REACHED]
        for form in function.forms
        if numbers(form.since) <= numbers(version)
        and (form.until is None or numbers(version) < numbers(form.until))
    }


if __name__ == "__main__":
    PAGE.write_text(written(), encoding="utf-8")
