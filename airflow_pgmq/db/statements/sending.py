"""Sending: plain, with a key of scope `once` or `queued`, replacing."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from functools import lru_cache
from typing import Any, TypeVar

from airflow_pgmq.core import names
from airflow_pgmq.core.batch import Batch, chunks
from airflow_pgmq.core.dedup import Claim, OnDuplicate, Scope, first_of_each, last_of_each, results
from airflow_pgmq.core.messages import Row
from airflow_pgmq.core.send_results import SendResult, Status
from airflow_pgmq.db import refusals
from airflow_pgmq.db.refusals import Refusal
from airflow_pgmq.db.sql import code
from airflow_pgmq.db.statements import Flow, Statement, column, incarnations, on_queue
from airflow_pgmq.errors import DuplicateMessage, GuardMissing, LostRace, NotSent, PgmqError

K = TypeVar("K")
T = TypeVar("T")


#: How often a claim without an answer is made again. Once is usual; more often, another client sends the same
#: keys and rolls back at the same time, or what is sent is hidden.
CLAIMS = 10
#: From this many keys on, the queue is recognised before the send: a claim that finds another queue sends
#: nothing, and takes as long as a successful one.
MANY = 500


def plain(queue_name: str, batch: Batch) -> Statement[list[SendResult]]:
    """Send messages without keys."""
    return on_queue(
        "send_plain",
        queue_name,
        lambda rows: _sent(queue_name, rows, len(batch)),
        **columns(batch),
        pgmq_ttl=batch.ttl,
    )


def one(queue_name: str, batch: Batch) -> Statement[list[SendResult]]:
    """The same for one message, whose headers are the common ones."""
    return on_queue(
        "send_one", queue_name, lambda rows: _sent(queue_name, rows, 1), is_prepared=True, **_of_one(batch)
    )


def claim_one(
    queue_name: str, batch: Batch, scope: Scope, window: timedelta
) -> Statement[tuple[Status, int, datetime | None] | None]:
    """Send one message with a key in one statement; None if it did nothing, and `keyed` must decide."""
    (key,) = batch.keys or []
    if scope == "queued":
        return _queued(queue_name, batch, lambda rows: (_claims(queue_name, rows) or {}).get(key))
    table = names.table(queue_name)
    return Statement(
        "send_one_once",
        {"queue_name": queue_name, "key": key, "window": window, "code": code(), **_of_one(batch)},
        {"table": table},
        _claim_of_one,
        queue_name,
        is_prepared=True,
        literals=_of_table(*table),
        errors=_REFUSED_ONE,
    )


@lru_cache(maxsize=256)
def _of_table(schema: str, name: str) -> Mapping[str, str]:
    return {"relation": names.quoted(schema, name), "sequence": names.sequence_of(schema, name)}


def _of_one(batch: Batch) -> dict[str, Any]:
    return {
        "message": batch.messages[0],
        "common_headers": batch.common_headers,
        "seconds": batch.seconds[0] if batch.seconds else 0.0,
        "instant": batch.instants[0] if batch.instants else None,
        "pgmq_ttl": batch.ttl,
    }


def _claim_of_one(rows: Sequence[Row]) -> tuple[Status, int, datetime | None] | None:
    for row in rows:
        if row["taken_by"] is not None:
            return "duplicate", row["taken_by"], row["first_at"]
        if row["msg_id"] is not None:
            return "sent", row["msg_id"], None
    return None


def _not_stored(statement: Statement[Any], refusal: Refusal) -> NotSent | None:
    """The statement's own error, or that of a trigger."""
    return NotSent(statement.queue_name or "", 1) if "not stored: " in refusal.text else None


def _sent(queue_name: str, rows: Sequence[Row], expected: int) -> list[SendResult]:
    if len(rows) < expected:
        raise NotSent(queue_name, expected - len(rows))
    return [SendResult("sent", row["msg_id"]) for row in rows]


def keyed(
    queue_name: str,
    batch: Batch,
    *,
    scope: Scope,
    on_duplicate: OnDuplicate,
    window: timedelta,
    optimistic: bool = False,
) -> Flow[list[SendResult]]:
    """Send messages with keys, at most one per key; results in the order of the batch.

    Several chunks in one transaction are claimed in key order over all of them, and nothing is replaced
    before all is claimed: two such transactions cannot deadlock.

    :param optimistic: take a third less time where all keys are new, and raise LostRace where another
        transaction takes one at the same moment
    """
    keys = batch.keys or []
    chosen = last_of_each(keys) if on_duplicate == "replace" else first_of_each(keys)
    size = batch.chunk_size
    order = sorted(chosen) if len(chosen) > size else list(chosen)
    answers: dict[str, Claim] = {}
    if scope == "once" and len(order) >= MANY:
        yield from incarnations.recognise([queue_name])
    for part in chunks(order, size):
        answers |= yield from claim_all(
            queue_name,
            part,
            lambda keys, again: _claim(
                queue_name,
                batch.take([chosen[key] for key in keys]),
                scope,
                window,
                optimistic and not again,
            ),
        )
    replaced: set[str] = set()
    duplicates = [key for key in order if answers[key][0] == "duplicate"]
    if on_duplicate == "fail" and (duplicates or len(chosen) < len(keys)):
        repeated = [key for position, key in enumerate(keys) if chosen[key] != position]
        raise DuplicateMessage(queue_name, duplicates + repeated)
    if on_duplicate == "replace":
        for part in chunks(duplicates, size):
            again = batch.take([chosen[key] for key in part])
            replaced |= yield _replace(queue_name, again, [answers[key][1] for key in part])
    return results(keys, answers, replaced, on_duplicate)


def claim_all(
    queue_name: str, wanted: Sequence[K], ask: Callable[[Sequence[K], bool], Statement[dict[K, Claim] | None]]
) -> Flow[dict[K, Claim]]:
    """Claim until each has an answer.

    :param ask: makes the statement for some of them, given whether it is not the first; the statement returns
        None if it did nothing, because the queue is not the known one
    :raises NotSent: what was sent disappeared at once, several times
    """
    answers: dict[K, Claim] = {}
    left: Sequence[K] = wanted
    for attempt in range(CLAIMS):
        found = yield ask(left, attempt > 0)
        if found is None:
            yield from incarnations.settle(queue_name)
            continue
        answers |= found
        # Without an answer: another transaction committed the key; the next statement's snapshot sees it.
        left = [each for each in left if each not in answers]
        if not left:
            return answers
    raise NotSent(queue_name, len(left))


def _claim(
    queue_name: str, batch: Batch, scope: Scope, window: timedelta, optimistic: bool
) -> Statement[dict[str, Claim] | None]:
    if scope == "queued":
        return _queued(queue_name, batch, lambda rows: _claims(queue_name, rows))
    keys = batch.keys or []
    params = {
        **columns(batch),
        "pgmq_ttl": batch.ttl,
        "sequence": names.sequence(queue_name),
        "window": window,
        "code": code(),
        "relation": incarnations.relation(queue_name),
    }
    lines = "\n".join(keys)
    # A key with a line break in it would be two lines.
    if optimistic and lines.count("\n") == len(keys) - 1:
        return on_queue(
            "send_new",
            queue_name,
            lambda rows: _new_claims(queue_name, rows, keys),
            errors={refusals.UNIQUE_VIOLATION: _taken_meanwhile},
            lines=lines,
            **params,
        )
    return on_queue(
        "send_once",
        queue_name,
        lambda rows: _claims(queue_name, rows),
        errors={refusals.UNIQUE_VIOLATION: key_refused},
        keys=keys,
        **params,
    )


def _queued(queue_name: str, batch: Batch, decode: Callable[[Sequence[Row]], T]) -> Statement[T]:
    return on_queue(
        "send_queued",
        queue_name,
        decode,
        errors={refusals.INVALID_COLUMN_REFERENCE: guard_missing},
        is_prepared=batch.is_one,
        keys=batch.keys,
        sequence=names.sequence(queue_name),
        **columns(batch),
        pgmq_ttl=batch.ttl,
    )


def guard_missing(statement: Statement[Any], refusal: Refusal) -> GuardMissing:
    """ON CONFLICT finds no matching unique index."""
    return GuardMissing(
        f"Queue {statement.queue_name!r} lacks the unique index that dedup_scope='queued' needs; nothing "
        f"was sent. In a task of its owner's, PgmqHook().guard_queue({statement.queue_name!r}) makes it."
    )


def key_refused(statement: Statement[Any], refusal: Refusal) -> DuplicateMessage:
    """A unique index of the queue's table, as `dedup_scope="queued"` makes it."""
    why = (refusal.detail or refusal.text).rstrip(".")
    return DuplicateMessage(
        statement.queue_name or "",
        [],
        f"A unique index of queue {statement.queue_name!r} refused a message ({why}): use one dedup_scope "
        "per queue. What was committed before of a large batch remains.",
    )


_REFUSED_ONE = {refusals.UNIQUE_VIOLATION: key_refused, refusals.INVALID_TEXT_REPRESENTATION: _not_stored}


def _taken_meanwhile(statement: Statement[Any], refusal: Refusal) -> PgmqError:
    return LostRace(refusal.detail) if refusal.table == "dedup_ledger" else key_refused(statement, refusal)


def _claims(queue_name: str, rows: Sequence[Row]) -> dict[str, Claim] | None:
    if not is_answer(queue_name, rows):
        return None
    return {
        key: (row["status"], msg_id, row["first_at"])
        for row in rows
        for key, msg_id in zip(row["keys"], row["msg_ids"], strict=True)
    }


def is_answer(queue_name: str, rows: Sequence[Row]) -> bool:
    """Whether a claim was made; False if the queue is not the known one.

    :raises NotSent: claimed keys have no messages
    """
    for row in rows:
        if row["status"] == "unsettled":
            return False
        if row["status"] == "sent" and row["stored"] < len(row["msg_ids"]):
            raise NotSent(queue_name, len(row["msg_ids"]) - row["stored"])
    return True


def _new_claims(queue_name: str, rows: Sequence[Row], keys: Sequence[str]) -> dict[str, Claim] | None:
    """Decode a claim that returns only ids for free keys, in their order, since these are most of it."""
    if not is_answer(queue_name, rows):
        return None
    claims = _claims(queue_name, [row for row in rows if row["status"] == "duplicate"]) or {}
    for row in rows:
        if row["status"] == "sent":
            free = [key for key in keys if key not in claims] if claims else keys
            first_at = row["first_at"]
            claims |= {
                key: ("sent", msg_id, first_at) for key, msg_id in zip(free, row["msg_ids"], strict=True)
            }
    return claims


def _replace(queue_name: str, batch: Batch, msg_ids: list[int]) -> Statement[set[str]]:
    return on_queue(
        "replace",
        queue_name,
        lambda rows: {row["key"] for row in rows},
        **{**columns(batch), "pgmq_ttl": batch.ttl, "keys": batch.keys, "msg_ids": msg_ids},
    )


def columns(batch: Batch) -> dict[str, Any]:
    """A batch as the parameters of a statement."""
    return {
        "messages": "\n".join(batch.messages),
        "common_headers": batch.common_headers,
        "headers": batch.headers,
        "seconds": batch.seconds,
        "instants": batch.instants,
    }


def cancel(queue_name: str, keys: Sequence[str]) -> Statement[list[int]]:
    """Archive unread messages with these keys; the keys stay taken."""
    refused = {refusals.UNIQUE_VIOLATION: refusals.archive_refused}
    return on_queue("cancel", queue_name, column("msg_id"), errors=refused, keys=list(keys))


def prune_slots(pages: int) -> Statement[None]:
    """Remove slots past their window."""
    return Statement("prune_slots", {"pages": pages, "quoted_table": "airflow_pgmq.slots"})


def prune_ledger(pages: int) -> Statement[None]:
    """Remove ledger rows past their window."""
    return Statement("prune_ledger", {"pages": pages, "quoted_table": "airflow_pgmq.dedup_ledger"})
