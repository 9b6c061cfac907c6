"""One call's messages → chunks → transactions."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from typing import TypeVar

from airflow_pgmq.core.batch import Batch, chunks
from airflow_pgmq.core.dedup import DEDUP_WINDOW, OnDuplicate, Scope, check_window
from airflow_pgmq.core.send_results import SendResult
from airflow_pgmq.db.client import Client, Connection, DriverError
from airflow_pgmq.db.driver.connecting import stores_all_text
from airflow_pgmq.db.statements import Flow, Work, queues, sending
from airflow_pgmq.errors import InvalidArgument, LostRace, PermissionDenied

T = TypeVar("T")

_log = logging.getLogger(__name__)

#: From this many keys on, the faster way is used; if it loses a race, the server's log has an error.
BULK = 100


def send(
    client: Client,
    queue_name: str,
    batch: Batch,
    *,
    scope: Scope = "once",
    on_duplicate: OnDuplicate = "skip",
    window: timedelta = DEDUP_WINDOW,
    conn: Connection | None = None,
) -> list[SendResult]:
    """Send a batch; results in its order.

    Keyed messages are committed chunk by chunk, so that locks are short and a retry after a crash finds the
    sent ones as duplicates. If all must be sent or none (no keys, `fail`, the caller's transaction) there
    is one transaction, and its keys are sorted over the whole call: two such calls cannot deadlock.
    """
    check(scope, on_duplicate, window)
    if batch.keys is None:
        return client.run(lambda: _plain(queue_name, batch), conn)
    keyed = _Keyed(client, queue_name, scope, on_duplicate, window)
    if conn is not None:
        ensure_dedup(client, queue_name, scope, conn)
        return client.run(lambda: keyed.flow(batch), conn)
    with client.connection() as own:
        ensure_dedup(client, queue_name, scope, own)
        found = keyed.one(batch, own) if batch.is_one else None
        found = found or keyed.send(batch, own)
        if scope == "once" and (pages := pages_to_prune(found)):
            prune(client, pages, own)
    return found


@dataclass(slots=True)
class _Keyed:
    """Sends messages with keys, on connections of our own."""

    client: Client
    queue_name: str
    scope: Scope
    on_duplicate: OnDuplicate
    window: timedelta

    def one(self, batch: Batch, own: Connection) -> list[SendResult] | None:
        """Send one message in one statement; None if more is to be decided."""
        claim = self._attempt(lambda: sending.claim_one(self.queue_name, batch, self.scope, self.window), own)
        if claim is None or (claim[0] == "duplicate" and self.on_duplicate != "skip"):
            return None
        (key,) = batch.keys or []
        status, msg_id, first_at = claim
        return [SendResult(status, msg_id, key, None if status == "sent" else first_at)]

    def send(self, batch: Batch, own: Connection) -> list[SendResult]:
        """Send chunk by chunk, or in one transaction if all must be sent or none."""
        # If its encoding is not UTF-8, only the INSERT shows which text it refuses: one transaction for all.
        if self.on_duplicate == "fail" or not stores_all_text(own):
            return self._attempt(lambda: self.flow(batch), own)
        found: list[SendResult] = []
        for positions in chunks(range(len(batch)), batch.chunk_size):
            found += self._send_chunk(batch.take(positions), own)
        return found

    def _send_chunk(self, chunk: Batch, own: Connection) -> list[SendResult]:
        if len(chunk) >= BULK:
            with suppress(LostRace):
                return self._attempt(lambda: self.flow(chunk, optimistic=True), own)
        return self._attempt(lambda: self.flow(chunk), own)

    def flow(self, batch: Batch, *, optimistic: bool = False) -> Flow[list[SendResult]]:
        """The work of one transaction."""
        return sending.keyed(
            self.queue_name,
            batch,
            scope=self.scope,
            on_duplicate=self.on_duplicate,
            window=self.window,
            optimistic=optimistic,
        )

    def _attempt(self, make: Callable[[], Work[T]], own: Connection) -> T:
        """Run it; if its answer is lost, again: then what was sent the first time is a duplicate."""
        # In the queue only, the message may be gone by then; and `fail` would fail because of itself.
        is_repeatable = self.scope == "once" and self.on_duplicate == "skip"
        return self.client.attempt(make, own, is_repeatable=is_repeatable)


def ensure_dedup(client: Client, queue_name: str, scope: Scope, conn: Connection) -> None:
    """Make sure that what a scope needs exists: the ledger, or the queue's unique index."""
    if scope == "once":
        client.ensure_schema(conn)
    elif client.begins(conn):
        client.once(guard_check(queue_name), lambda: client.run(lambda: queues.guard(queue_name), conn))
    else:
        # In the caller's transaction, which may have created the queue; not remembered: it may roll back.
        client.run(lambda: queues.guard(queue_name), conn)


def guard_check(queue_name: str) -> str:
    """The name of the check of a queue's unique index, for `Client.once`."""
    return f"guard {queue_name}"


def pages_to_prune(results: Sequence[SendResult]) -> int:
    """How much of the ledger a send searches for expired rows: three times what it adds, at most 1 MB.

    So the ledger shrinks without ticks, too. Only every hundredth message does it, so most sends do not.
    """
    hundredths = [each for each in results if each.status == "sent" and each.msg_id % 100 == 0]
    return min(128, 4 * len(hundredths))


def prune(client: Client, pages: int, own: Connection) -> None:
    """Prune the ledger; if that fails, the messages are sent all the same, and reported."""
    try:
        client.attempt(lambda: sending.prune_ledger(pages), own)
    except PermissionDenied:
        _log.debug("This role may not prune the dedup ledger; ticks and maintenance do it too.")
    except DriverError as exc:
        _log.warning("The dedup ledger was not pruned: %s", exc)


def whole(
    queue_name: str, batch: Batch, *, scope: Scope, on_duplicate: OnDuplicate, window: timedelta
) -> Flow[list[SendResult]]:
    """Send all of a batch in a transaction that does more."""
    if batch.keys is not None:
        keyed = sending.keyed(queue_name, batch, scope=scope, on_duplicate=on_duplicate, window=window)
        return (yield from keyed)
    if batch.is_one:
        sent: list[SendResult] = yield sending.one(queue_name, batch)
        return sent
    return (yield from _chunks(queue_name, batch))


def _plain(queue_name: str, batch: Batch) -> Work[list[SendResult]]:
    if batch.is_one:
        return sending.one(queue_name, batch)
    return _chunks(queue_name, batch)


def _chunks(queue_name: str, batch: Batch) -> Flow[list[SendResult]]:
    sent: list[SendResult] = []
    for positions in chunks(range(len(batch)), batch.chunk_size):
        sent += yield sending.plain(queue_name, batch.take(positions))
    return sent


def check(scope: str, on_duplicate: str, window: timedelta) -> None:
    """Refuse options of dedup that do not exist."""
    if scope not in ("once", "queued"):
        raise InvalidArgument(f"dedup_scope must be 'once' or 'queued', not {scope!r}.")
    if on_duplicate not in ("skip", "replace", "fail"):
        raise InvalidArgument(f"on_duplicate must be 'skip', 'replace' or 'fail', not {on_duplicate!r}.")
    check_window(window)
