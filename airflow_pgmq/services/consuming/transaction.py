"""The transaction around a user's work: its acks are part of it, and so is the read of the next batch."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from airflow_pgmq.core import outcomes
from airflow_pgmq.core.messages import Message
from airflow_pgmq.core.outcomes import Decided
from airflow_pgmq.db.client import ATTEMPTS, OUTAGES, RETRYABLE, Aborted, Connection, settle_user_work
from airflow_pgmq.db.statements import Work, consuming, reading
from airflow_pgmq.errors import ArchiveRefused
from airflow_pgmq.services.consuming.settlement import Settlement


class Transaction:
    """Does the work on messages in a transaction of its own, which acks them.

    It also reads what is worked on next. That read is committed before that work begins, as a read by itself
    is, but for one commit less.
    """

    def __init__(self, held: Settlement) -> None:
        self._held = held
        #: Why the acks were refused. The work may raise errors of the same kinds, about other queues.
        self.refusal: Exception | None = None
        #: The next batch, which is ours when this transaction is committed.
        self._found: list[Message] = []

    def run(
        self, messages: list[Message], work: Callable[[list[Message], Connection], Any], read_next: int
    ) -> list[Decided]:
        """Do the work; again after a lost race.

        :param read_next: how many messages to read for the next batch
        """
        for attempt in range(ATTEMPTS):
            decided: list[Decided] | None = None
            self._found = []
            try:
                with self._held.connection.work(self._has_more) as conn:
                    decided = outcomes.decide(work(messages, conn), messages)
                    self._found = self._settle(decided, conn, read_next)
            except RETRYABLE:
                if attempt == ATTEMPTS - 1:
                    raise
            except ArchiveRefused as exc:
                if attempt == ATTEMPTS - 1 or not self._free_archive_ids(exc):
                    raise
            except OUTAGES:
                if decided is None or not self._was_committed(decided):
                    raise
                break
            else:
                break
            self._held.heartbeat.hold(messages)
        assert decided is not None
        self._held.next = self._found
        return decided

    def _has_more(self) -> bool:
        return bool(self._found)

    def _settle(self, decided: Sequence[Decided], conn: Connection, read_next: int) -> list[Message]:
        """Settle inside the transaction; raises, which undoes the work, if one was lost."""
        self._held.prepare_for(decided)
        messages = [message for message, _ in decided]
        self._held.heartbeat.let_go(messages)
        policy, limits = self._held.policy, self._held.client.limits
        found: list[Message] = []
        try:
            if read_next and all(outcome.kind == "ack" for _, outcome in decided):
                both = consuming.ack_and_read(policy, messages, read_next, again=False)
                done, found = settle_user_work(both, conn, limits)
            else:
                done = settle_user_work(consuming.settle(policy, decided), conn, limits)
            self._held.raise_lost(decided, done)
        except (*RETRYABLE, *OUTAGES, Aborted):
            raise
        except Exception as exc:
            self.refusal = exc
            raise
        return found

    def _was_committed(self, decided: Sequence[Decided]) -> bool:
        """Whether the transaction was committed, although its answer was lost."""
        return self._held.connection.run(lambda again: consuming.was_committed(self._held.policy, decided))

    def _free_archive_ids(self, refused: ArchiveRefused) -> bool:
        """Free the ids in the archive for the messages to be acked; False if it has no such ids."""

        def free(again: bool) -> Work[bool]:
            return reading.free_archive_ids(refused.queue_name, refused.msg_ids)

        return self._held.connection.run(free)
