"""The loop of a consumer: when it reads, what it does after a failure, and when it ends."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from airflow_pgmq.core import outcomes
from airflow_pgmq.core.consumer_policy import Policy, Summary
from airflow_pgmq.core.messages import Message
from airflow_pgmq.core.outcomes import Decided, Outcome
from airflow_pgmq.db.client import (
    Client,
    Connection,
    begin_user_work,
    end_user_work,
)
from airflow_pgmq.errors import InvalidOutcome, MessageLost, TransactionEnded
from airflow_pgmq.services.consuming.heartbeat import Log
from airflow_pgmq.services.consuming.intake import Intake
from airflow_pgmq.services.consuming.progress import Progress
from airflow_pgmq.services.consuming.settlement import Settlement
from airflow_pgmq.services.consuming.transaction import Transaction

#: Gets messages and, for transactional work, the connection; returns outcomes.
UserWork = Callable[[list[Message], Connection | None], Any]


class Consumer:
    """Consumes one queue by a policy, message by message or batch by batch. Used once.

    Each read is committed by itself, so the reads of a message that kills its readers are counted. Messages
    are ours until their visibility timeout ends, which a heartbeat renews; every ack, release and dead
    letter is fenced. If the loop ends early, unfinished messages are given back.
    """

    def __init__(
        self,
        client: Client,
        policy: Policy,
        *,
        together: bool,
        ignores_payload: bool = False,
        stop_on: tuple[type[BaseException], ...] = (),
        skip_on: tuple[type[BaseException], ...] = (),
        prepare: Callable[[Connection], object] | None = None,
        log: Log | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.client = client
        self.policy = policy
        #: Whether the work takes a whole batch at a time.
        self.together = together
        #: Exceptions of the work that end the drain; its messages do not fail, but count as tried.
        self.stop_on = stop_on
        #: Exceptions that are not about the message: it is given back untried.
        self.skip_on = skip_on
        self.log = log or logging.getLogger(__name__)
        self.summary = Summary()
        self._clock = clock
        #: The first exception of a message's work that can be logged.
        self.error: Exception | None = None
        self._failures_in_a_row = 0
        #: `prepare` is called with each new connection, before anything is read with it.
        self._held = Settlement(client, policy, self.summary, self.log, prepare)
        self._transaction = Transaction(self._held)
        # Work that ignores the payload can handle messages that Python cannot load.
        self._intake = Intake(policy, self._held, self.log, ignores_payload=ignores_payload)

    def drain(self, work: UserWork) -> Summary:
        """Work until nothing is visible, or one of the policy's limits is reached."""
        progress = Progress(self.policy, self.log, started := self._clock())
        size = self.policy.next_batch_size(1, float("inf"))
        with self._session(), self._held.acking_finished():
            self._held.look()
            while self._reads_on() and (messages := self._intake.read(size)) is not None:
                if self._held.ahead is not None and self._reads_on():
                    self._held.ahead.start(size)
                began = time.perf_counter()
                parts = [messages] if self.together else [[message] for message in messages]
                for part in parts:
                    is_last = part is parts[-1] and self._held.ahead is None and self._reads_on()
                    self._process(part, work, size if is_last else 0)
                    if progress.is_due(now := self._clock()):
                        self._held.ack_finished()
                        done = self.summary.read - len(self._held.unfinished)
                        progress.report(self._held.connection, done, now)
                size = self.policy.next_batch_size(len(messages) or size, time.perf_counter() - began)
        self._held.give_back()
        if self._fails():
            self.log.error("%d messages failed in a row: the drain ended early", self._failures_in_a_row)
        elif self._held.refused.are_many:
            self.log.error("The database refuses one message after the other: the drain ended early")
        if self._held.refused.first is not None:
            raise self._held.refused.first
        self.summary.seconds = self._clock() - started
        return self.summary

    @contextmanager
    def batch(self, conn: Connection | None = None) -> Iterator[list[Message]]:
        """One batch for a `with` block: acked if the block succeeds, in `conn`'s transaction if given."""
        with self._session():
            # All messages of a read may have been settled at once: then read again.
            size = self.policy.batch_size
            while (found := self._intake.read(size)) == [] and not self._held.refused.are_many:
                pass
            messages = found or []
            is_whole = conn is not None and begin_user_work(conn)
            if conn is not None and is_whole and messages:
                self._held.check_caller_can_ack(messages, conn)
            self._held.begin(messages)
            try:
                yield messages
                if conn is not None and is_whole:
                    # If the block has aborted or ended the transaction, it has failed.
                    end_user_work(conn)
            except self.skip_on:
                self._held.tried.clear()
                raise
            except Exception as exc:
                self._held.settle(self._failed(messages, exc))
                raise
            if not messages:
                return
            decided = [(message, Outcome.ack()) for message in messages]
            if conn is not None:
                # If the ack fails, the work was not at fault.
                self._held.tried.clear()
                self._held.settle_within(decided, conn)
                self._held.unfinished.clear()
                return
            self._ack(decided)

    def _ack(self, decided: Sequence[Decided]) -> None:
        """Ack a block's messages, or raise why not."""
        self._held.tried.clear()
        lost = self._held.settle(decided)
        for message, _ in decided:
            if message.msg_id in self._held.refused.why:
                raise self._held.refused.why[message.msg_id]
        if lost:
            raise MessageLost(self.policy.queue_name, lost)

    @contextmanager
    def _session(self) -> Iterator[None]:
        try:
            with self._held.connection, self._held.heartbeat:
                if self.policy.max_reads is not None:
                    # Before the first read.
                    self._held.preparation.make_dead_letter_queue()
                yield
        except BaseException:
            # After the connection is closed: its transaction may have locked these rows.
            self._held.give_back()
            raise

    def _reads_on(self) -> bool:
        limit = self.policy.max_batches
        return not self._is_broken() and (limit is None or self.summary.batches < limit)

    def _fails(self) -> bool:
        limit = self.policy.stop_after_failures
        return limit is not None and self._failures_in_a_row >= limit

    def _is_broken(self) -> bool:
        return self._fails() or self._held.refused.are_many

    def _process(self, messages: Sequence[Message], work: UserWork, read_next: int = 0) -> None:
        """Do the work on messages and settle them; a batch that fails is tried again one by one.

        :param read_next: how many messages the transaction of the work may read for the next batch
        """
        live = self._held.drop_lost(messages)
        if not live or self._is_broken():
            return
        self._held.begin(live)
        try:
            decided = self._work(live, work, read_next)
        except self.skip_on:
            self._held.tried.clear()
            raise
        except self.stop_on:
            raise
        except (InvalidOutcome, TransactionEnded) as exc:
            # The function is at fault, so the drain ends; these wait for their back-off, or become dead
            # letters.
            self._held.settle(self._failed(live, exc))
            raise
        except Exception as exc:
            if exc is not self._transaction.refusal:
                self._fail(live, exc, work)
                return
            self._refuse(live, exc, work)
        else:
            self._failures_in_a_row = 0
            # If the ack fails, the work was not at fault.
            self._held.tried.clear()
            if self.policy.transactional:
                self._held.refused.end_row()
                self._held.count(decided, [message.msg_id for message in live])
            else:
                self._held.finish_work(decided, together=self.together)

    def _fail(self, messages: list[Message], exc: Exception, work: UserWork) -> None:
        # The heartbeat had let go of them before the COMMIT that failed.
        self._held.heartbeat.hold(messages)
        if len(messages) > 1:
            self.log.warning("A batch of %d failed, now one by one: %s", len(messages), outcomes.reason(exc))
            self._held.tried.clear()
            for message in messages:
                self._process([message], work)
        else:
            self._failures_in_a_row += 1
            self._held.settle(self._failed(messages, exc))

    def _refuse(self, messages: list[Message], exc: Exception, work: UserWork) -> None:
        """Handle refused acks; the work was not at fault, and was rolled back."""
        self._held.tried.clear()
        if isinstance(exc, MessageLost):
            self.log.warning("%s Their work was rolled back.", exc)
            lost = set(exc.msg_ids)
            self._held.count_lost([message for message in messages if message.msg_id in lost])
            self._held.release([message for message in messages if message.msg_id not in lost])
        elif not self._held.refused.is_one(exc):
            raise self.client.explained(exc) from exc.__cause__
        elif len(messages) == 1:
            self._held.refuse(messages[0], exc)
        else:
            self._held.heartbeat.hold(messages)
            for message in messages:
                self._process([message], work)

    def _work(self, messages: list[Message], work: UserWork, read_next: int) -> list[Decided]:
        """Do the work, in a transaction with its acks if it is transactional."""
        if not self.policy.transactional:
            with self._held.finished.work():
                returned = work(messages, None)
            return outcomes.decide(returned, messages)
        return self._transaction.run(messages, work, read_next)

    def _failed(self, messages: Sequence[Message], exc: Exception) -> list[Decided]:
        """Back-off, or dead letters after the last try."""
        self.error = self.error or outcomes.for_log(exc)
        self.summary.failed += len(messages)
        text = outcomes.reason(exc)
        decided = []
        for message in messages:
            # In a batch, perhaps only one is at fault: they come back one by one.
            dead = self.policy.is_last_read(message) and len(messages) == 1
            decided.append((message, Outcome.dead(text) if dead else Outcome.retry()))
            self.log.error(
                "Message %d of queue %s failed at try %d, %s: %s",
                message.msg_id,
                self.policy.queue_name,
                message.tries,
                self._fate(message, dead=dead),
                text,
                exc_info=outcomes.for_log(exc),
            )
        return decided

    def _fate(self, message: Message, *, dead: bool) -> str:
        if not dead:
            return f"again in {self.policy.delay(message):.0f} s"
        stops = self.policy.stops_group(message)
        return "its group stops" if stops else f"now in {self.policy.dead_letters}"
