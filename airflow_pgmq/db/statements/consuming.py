"""What a consumer does with a queue: read, settle, dead letters, requeue."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from airflow_pgmq.command_line import command
from airflow_pgmq.core import names
from airflow_pgmq.core.consumer_policy import Policy, Source, check_source
from airflow_pgmq.core.delays import AT_ONCE, ParsedDelay, columns, parse
from airflow_pgmq.core.messages import Message, Remark, Row, fences, references, untried_again
from airflow_pgmq.core.outcomes import Decided
from airflow_pgmq.db import refusals
from airflow_pgmq.db.statements import (
    Flow,
    Statement,
    Work,
    announcing,
    column,
    groups,
    on_queue,
    queues,
    reading,
    scalar,
    stopped_groups,
)
from airflow_pgmq.errors import InvalidArgument, InvalidName, PermissionDenied, QueueNotFound


def read(policy: Policy, max_messages: int | None = None, *, unread: bool = False) -> Work[list[Message]]:
    """Read the next batch of work.

    :param unread: only messages that nobody has read
    """
    if policy.groups is not None:
        return groups.read(
            policy.queue_name,
            policy.groups,
            max_messages=max_messages or policy.batch_size,
            visibility_timeout=policy.visibility_timeout,
            condition=policy.condition,
            headers_condition=policy.headers_condition,
            unread=unread,
        )
    return reading.messages(
        "read_for_work",
        policy.queue_name,
        is_prepared=True,
        **fences([])._asdict(),
        **_what_to_read(policy, max_messages, unread=unread),
    )


def ack_and_read(
    policy: Policy, messages: Sequence[Message], max_messages: int | None, *, again: bool
) -> Work[tuple[list[int], list[Message]]]:
    """Ack messages and read the next batch, in one statement; the ids that were still ours, and the batch.

    In order, the next one of a group is to be read once the one before it is acked: then these are several.

    :param again: whether an earlier attempt may have acked them, and its answer was lost
    """
    if again or policy.groups is not None or (policy.ack == "archive" and not policy.archive_columns):
        return _ack_and_read(policy, messages, max_messages, again=again)
    archives = policy.ack == "archive"
    return replace(
        on_queue(
            "archive_and_read_for_work" if archives else "delete_and_read_for_work",
            policy.queue_name,
            _acked_and_read,
            errors={refusals.UNIQUE_VIOLATION: refusals.archive_refused},
            is_prepared=True,
            rows=_ids_or_message,
            **fences(messages)._asdict(),
            **_what_to_read(policy, max_messages),
        ),
        **_archive(policy),
    )


def archive_columns(queue_name: str) -> Statement[tuple[str, ...]]:
    """The columns to archive; empty if only PGMQ's function can tell."""
    params = {
        "relation": names.quoted(*names.table(queue_name)),
        "archive_relation": names.quoted(*names.table(queue_name, "a")),
    }
    return Statement("archive_columns", params, decode=lambda rows: tuple(rows[0]["columns"]) if rows else ())


def _archive(policy: Policy) -> dict[str, Any]:
    """Of a statement that archives."""
    tables = {"table": names.table(policy.queue_name), "archive": names.table(policy.queue_name, "a")}
    return {"identifiers": tables, "columns": policy.archive_columns}


def _ack_and_read(
    policy: Policy, messages: Sequence[Message], max_messages: int | None, *, again: bool
) -> Flow[tuple[list[int], list[Message]]]:
    if again:
        done = yield from reading.settle_again(
            ack(policy, messages), policy.queue_name, messages, archived=policy.ack == "archive"
        )
    else:
        done = yield ack(policy, messages)
    following = read(policy, max_messages)
    return done, (yield following) if isinstance(following, Statement) else (yield from following)


def _ids_or_message(columns: Sequence[str]) -> Callable[[Sequence[Any]], list[int] | Message]:
    make, acked = Message.maker(columns), columns.index("acked")
    return lambda values: make(values) if values[acked] is None else values[acked]


def _acked_and_read(rows: Sequence[Any]) -> tuple[list[int], list[Message]]:
    (acked,) = (row for row in rows if isinstance(row, list))
    return acked, reading.by_msg_id(row for row in rows if isinstance(row, Message))


def _what_to_read(policy: Policy, max_messages: int | None, *, unread: bool = False) -> dict[str, Any]:
    return {
        "unread": unread,
        "max_messages": max_messages or policy.batch_size,
        "visibility_timeout": policy.visibility_timeout,
        "condition": reading.as_json(policy.condition),
        "headers_condition": reading.as_json(policy.headers_condition),
    }


def prepare(policy: Policy) -> Flow[bool]:
    """Make sure that the dead letter queue exists before the first read; True if it was made now."""
    name = policy.dead_letters
    absent = yield queues.missing([policy.queue_name, name])
    if policy.queue_name in absent:
        raise QueueNotFound(policy.queue_name)
    if name not in absent:
        return False
    return (yield from make_dead_letter_queue(name))


def make_dead_letter_queue(name: str) -> Flow[bool]:
    """Make the queue, with the notify trigger if possible; False if another client made it meanwhile.

    :raises InvalidName: a queue of this name cannot be made
    """
    try:
        made: bool = yield from queues.create(name)
    except InvalidName as exc:
        raise InvalidName(
            f"The dead letter queue {name!r} is missing and cannot be made, name another one with "
            f"dead_letter_queue=. {exc.text}"
        ) from exc
    yield from announcing.announce(name)
    return made


def settle(policy: Policy, decided: Sequence[Decided], *, again: bool = False) -> Work[list[int]]:
    """Do the outcome of every message; returns the ids that were still ours.

    :param again: whether an earlier attempt may have done it, and its answer was lost
    """
    statements = _outcomes(policy, decided)
    if len(statements) == 1 and not again:
        # A single statement is a transaction, in one round trip.
        return statements[0]
    return _settle(policy, decided, statements, again)


def _settle(
    policy: Policy, decided: Sequence[Decided], statements: Sequence[Statement[list[int]]], again: bool
) -> Flow[list[int]]:
    done: list[int] = []
    for statement in statements:
        done += yield statement
    if again:
        done += yield from _settled(policy, [each for each in decided if each[0].msg_id not in set(done)])
        # If another reader has them now, that is because we gave them back.
        done += [message.msg_id for message, outcome in decided if outcome.kind == "retry"]
    return done


def _settled(policy: Policy, decided: Sequence[Decided]) -> Flow[list[int]]:
    """Acked and dead messages that are no longer in the queue as we read them, because we settled them."""
    found: list[int] = []
    stopping = _stopping(policy, decided)
    for kind, archived in (("ack", policy.ack == "archive"), ("dead", False)):
        messages = [
            message for message, outcome in decided if outcome.kind == kind and message not in stopping
        ]
        if messages:
            found += yield reading.settled(policy.queue_name, messages, archived=archived)
    if stopping:
        found += yield stopped_groups.stopped(policy.queue_name, stopping)
    return found


def _stopping(policy: Policy, decided: Sequence[Decided]) -> list[Message]:
    """Dead messages that stay in the queue, and stop their groups."""
    return [message for message, outcome in decided if outcome.kind == "dead" and policy.stops_group(message)]


def was_committed(policy: Policy, decided: Sequence[Decided]) -> Flow[bool]:
    """Whether a transaction that settled messages was committed; retries do not show it."""
    final = [(message, outcome) for message, outcome in decided if outcome.kind != "retry"]
    messages = [message for message, _ in final]
    stopping = _stopping(policy, final)
    if stopping and (yield stopped_groups.stopped(policy.queue_name, stopping)):
        # They are still as we read them, and must stay hidden.
        return True
    # This waits for the transaction if the server has not ended it yet: it has locked these rows.
    hidden = ParsedDelay(policy.visibility_timeout)
    if not final or (yield reading.set_vt(policy.queue_name, messages, hidden)):
        return False
    return bool((yield from _settled(policy, final)))


def _outcomes(policy: Policy, decided: Sequence[Decided]) -> list[Statement[list[int]]]:
    """At most one statement of each kind, acks first."""
    acked = [message for message, outcome in decided if outcome.kind == "ack"]
    retried = [(message, outcome.delay) for message, outcome in decided if outcome.kind == "retry"]
    dead = [(message, outcome.reason or "") for message, outcome in decided if outcome.kind == "dead"]
    stopping = [(message, why) for message, why in dead if policy.stops_group(message)]
    dead = [(message, why) for message, why in dead if not policy.stops_group(message)]
    statements = []
    if acked:
        statements.append(ack(policy, acked))
    if retried:
        delays = [delay or parse(policy.delay(message)) for message, delay in retried]
        statements.append(release_each(policy.queue_name, [message for message, _ in retried], delays))
    if dead:
        messages, reasons = [each for each, _ in dead], [why for _, why in dead]
        statements.append(dead_letter(policy.queue_name, policy.dead_letters, messages, reasons))
    if stopping:
        messages, reasons = [each for each, _ in stopping], [why for _, why in stopping]
        statements.append(stopped_groups.stop(policy.queue_name, messages, reasons))
    return statements


def ack(policy: Policy, messages: Sequence[Message]) -> Statement[list[int]]:
    """Archive or delete messages, by the policy."""
    if policy.ack == "delete":
        return reading.delete(policy.queue_name, messages)
    if not policy.archive_columns:
        return reading.archive(policy.queue_name, messages)
    statement = on_queue(
        "archive_held",
        policy.queue_name,
        scalar("acked"),
        errors={refusals.UNIQUE_VIOLATION: refusals.archive_refused},
        is_prepared=True,
        **fences(messages)._asdict(),
    )
    return replace(statement, **_archive(policy))


def release_each(
    queue_name: str,
    messages: reading.Messages,
    delays: Sequence[ParsedDelay],
    untried: Sequence[bool] | None = None,
) -> Statement[list[int]]:
    """Give messages back, each after its own delay; for untried ones, the read does not count as a try."""
    held = references(messages)
    flags = [False] * len(held) if untried is None else untried
    return on_queue(
        "release_each",
        queue_name,
        column("msg_id"),
        channel=names.channel(queue_name),
        **fences(held)._asdict(),
        **columns(delays),
        untried=[untried_again(each) if flag else None for each, flag in zip(held, flags, strict=True)],
    )


def dead_letter(
    queue_name: str, dead_letter_queue: str, messages: reading.Messages, reasons: str | Sequence[str]
) -> Statement[list[int]]:
    """Move messages to the dead letter queue; returns the ids that were still ours."""
    if names.table(queue_name) == names.table(dead_letter_queue):
        raise InvalidName(f"Queue {queue_name!r} cannot be its own dead letter queue.")
    held = fences(messages)
    reasons = [reasons] * len(held.msg_ids) if isinstance(reasons, str) else list(reasons)
    return Statement(
        "dead_letter",
        {
            "queue_name": queue_name,
            "quoted_dead_letters": names.quoted(*names.table(dead_letter_queue)),
            **held._asdict(),
            "reasons": list(map(Remark, reasons)),
        },
        {"table": names.table(queue_name), "dead_letters": names.table(dead_letter_queue)},
        column("msg_id"),
        # If a table is missing, it is that one: the source was read from before.
        dead_letter_queue,
    )


def dead_lettered(
    queue_name: str, dead_letter_queue: str, messages: reading.Messages, reason: str, *, again: bool
) -> Work[list[int]]:
    """The same, if `again` also for an earlier attempt whose answer was lost."""
    statement = dead_letter(queue_name, dead_letter_queue, messages, reason)
    return reading.settle_again(statement, queue_name, messages, archived=False) if again else statement


def requeue(
    queue_name: str,
    *,
    source: Source = "dead_letters",
    dead_letter_queue: str | None = None,
    msg_ids: Sequence[int] | None = None,
    condition: Mapping[str, Any] | None = None,
    headers_condition: Mapping[str, Any] | None = None,
    max_messages: int | None = None,
    delay: ParsedDelay = AT_ONCE,
) -> Statement[dict[int, int]]:
    """Requeue messages, from the dead letter queue or from the archive."""
    check_source(source, dead_letter_queue)
    is_archive = source == "archive"
    if is_archive and msg_ids is None and not condition and not headers_condition:
        raise InvalidArgument(
            "From the archive, say which messages: msg_ids, condition or headers_condition."
        )
    place = dead_letter_queue or names.dead_letter_queue(queue_name)
    return Statement(
        "requeue_archive" if is_archive else "requeue_dead_letters",
        {
            "queue_name": queue_name,
            "sequence": names.sequence(queue_name),
            "msg_ids": None if msg_ids is None else [int(each) for each in msg_ids],
            "condition": reading.as_json(condition),
            "headers_condition": reading.as_json(headers_condition),
            "max_messages": None if max_messages is None else reading.at_most(max_messages),
            **delay.params,
        },
        {
            "table": names.table(queue_name),
            "source": names.table(queue_name, "a") if is_archive else names.table(place),
        },
        _moved,
        queue_name if is_archive else place,
    )


def _moved(rows: Sequence[Row]) -> dict[int, int]:
    return dict(sorted((row["msg_id"], row["new_id"]) for row in rows))


def not_allowed(policy: Policy, exc: PermissionDenied) -> PermissionDenied:
    """The error of a role that may not make the dead letter queue."""
    return PermissionDenied(
        f"The dead letter queue {policy.dead_letters!r} is missing and this role may not create it ("
        f"{exc.reason or exc}). "
        f"Let its owner run `{command(f'create {shlex.quote(policy.dead_letters)}')}`, name another one with "
        "dead_letter_queue=, or set max_reads=None."
    )
