"""Messages that were read and are not settled yet: acked, retried, dead, lost or given back."""

from __future__ import annotations

import dataclasses
import math
import shlex
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial

from airflow_pgmq.command_line import command
from airflow_pgmq.core.consumer_policy import Policy, Summary
from airflow_pgmq.core.delays import AT_ONCE, parse
from airflow_pgmq.core.groups import GROUP
from airflow_pgmq.core.messages import Message
from airflow_pgmq.core.outcomes import Decided, Outcome
from airflow_pgmq.db.client import (
    OUTAGES,
    Client,
    Connection,
    DriverError,
    keeps_snapshot,
)
from airflow_pgmq.db.statements import Work, consuming, reading
from airflow_pgmq.errors import (
    BrokenOff,
    MessageLost,
    PermissionDenied,
    PgmqError,
    QueueNotFound,
)
from airflow_pgmq.services.consuming.finished import Finished
from airflow_pgmq.services.consuming.heartbeat import Heartbeat, Log
from airflow_pgmq.services.consuming.kept_connection import KeptConnection
from airflow_pgmq.services.consuming.preparation import Preparation
from airflow_pgmq.services.consuming.read_ahead import ReadAhead
from airflow_pgmq.services.consuming.refused_outcomes import RefusedOutcomes

_ACK = Outcome.ack()
_NAMES = {"ack": "acked", "retry": "retried", "dead": "dead"}


class Settlement:
    """The messages that we hold. Each is settled exactly once, and counted in the summary."""

    def __init__(
        self,
        client: Client,
        policy: Policy,
        summary: Summary,
        log: Log,
        prepare: Callable[[Connection], object] | None,
    ) -> None:
        self.client = client
        self.policy = policy
        self.summary = summary
        self.log = log
        #: The connection that reads, works and settles.
        self.connection = KeptConnection(client, prepare=prepare, is_new=policy.transactional)
        self.preparation = Preparation(client, policy, self.connection, log)
        self.heartbeat = Heartbeat(client, policy.queue_name, policy.visibility_timeout, log)
        #: Messages whose work is done, of `unfinished`.
        self.finished = Finished(self._ack_in_time)
        self.ahead = ReadAhead(client, policy, self.heartbeat) if policy.read_ahead else None
        #: What the transaction of the work has read for the next batch.
        self.next: list[Message] = []
        self.unfinished: dict[int, Message] = {}
        #: Those of them whose work has started and is not known to have succeeded.
        self.tried: set[int] = set()
        self.refused = RefusedOutcomes(policy, log)
        #: Those that a caller's transaction could not settle.
        self._later: set[int] = set()

    def take(self, messages: Sequence[Message]) -> None:
        """Note messages that were read just now."""
        self.summary.batches += 1
        self.summary.read += len(messages)
        self.unfinished = {message.msg_id: message for message in messages}
        self.tried.clear()
        self._later.clear()

    def begin(self, messages: Sequence[Message]) -> None:
        """Note that the work on these begins; if given back from now on, they count as tried."""
        self.tried = {message.msg_id for message in messages}

    def look(self) -> None:
        """Look up how to archive."""
        columns = self.preparation.archive_columns()
        self.policy = dataclasses.replace(self.policy, archive_columns=columns)

    def finish_work(self, decided: Sequence[Decided], *, together: bool) -> None:
        """Settle messages after their work; those that are only acked wait a little for others.

        :param together: these were worked on together, so they are a group, and the next read acks them
        """
        most = math.inf if together else self.policy.ack_group
        if most == 1 or any(outcome.kind != "ack" for _, outcome in decided):
            self.settle(decided)
            return
        self.finished.add([message for message, _ in decided])
        if len(self.finished) >= most:
            self.ack_finished()

    def ack_finished(self) -> None:
        """Ack the messages whose work is done."""
        messages, again = self.finished.take()
        if messages:
            with self.finished.acking(messages, self.unfinished):
                self.settle([(message, _ACK) for message in messages], again=again)

    @contextmanager
    def acking_finished(self) -> Iterator[None]:
        """Around a drain: what is finished is acked at its end, also after an exception."""
        self.finished.begin()
        try:
            yield
        except BaseException:
            self.finished.end()
            try:
                self.ack_finished()
            except Exception as exc:
                # The other exception matters more.
                self.log.warning("Queue %s: finished work is not acked: %s", self.policy.queue_name, exc)
            raise
        self.finished.end()
        self.ack_finished()

    def _ack_in_time(self, messages: Sequence[Message]) -> None:
        """The same in the timer's thread, where there is no second attempt."""
        self.heartbeat.let_go(messages)
        decided = [(message, _ACK) for message in messages]
        try:
            done = self.connection.run_once(lambda: consuming.settle(self.policy, decided))
        except BaseException:
            self.heartbeat.hold(messages)
            raise
        self.refused.end_row()
        self.count(decided, done)

    def read(self, max_messages: int) -> list[Message]:
        """Read the next batch; acks the finished messages in the same round trip."""
        if self.ahead is not None and self.ahead.has_messages():
            self.ack_finished()
            return self.ahead.take()
        if self.next:
            found, self.next = self.next, []
            return found
        messages, tried = self.finished.take()
        if messages:
            decided = [(message, _ACK) for message in messages]

            def both(again: bool) -> Work[tuple[list[int], list[Message]]]:
                self.heartbeat.let_go(messages)
                return consuming.ack_and_read(self.policy, messages, max_messages, again=again or tried)

            try:
                with self.finished.acking(messages, self.unfinished):
                    done, found = self.connection.run(both, partial(self.heartbeat.hold, messages))
            except OUTAGES:
                raise
            except (PgmqError, DriverError):
                # One of them is refused, or the read failed: one after the other.
                self.heartbeat.hold(messages)
                self.settle(decided, again=tried)
                if self.refused.are_many:
                    return []
            else:
                self.refused.end_row()
                self.count(decided, done)
                return found
        return self.connection.run(lambda again: consuming.read(self.policy, max_messages))

    def settle(self, decided: Sequence[Decided], *, again: bool = False) -> list[int]:
        """Do every outcome, in one transaction of our own; returns the ids that were no longer ours.

        One that the database refuses must not undo the others: it is noted, and comes back later.

        :param again: whether an earlier attempt may have done it, and its answer was lost
        """
        tried = again

        def work(part: Sequence[Decided], again: bool) -> Work[list[int]]:
            return consuming.settle(self.policy, part, again=again or tried)

        try:
            self.prepare_for(decided)
        except PermissionDenied:
            self._settle([each for each in decided if each[1].kind != "dead"], work, self.count)
            raise
        return self._settle(decided, work, self.count)

    def drop_expired(self, messages: Sequence[Message]) -> None:
        """Archive expired messages."""

        def work(part: Sequence[Decided], again: bool) -> Work[list[int]]:
            expired = [message for message, _ in part]
            return reading.acked(self.policy.queue_name, expired, "archive", again=again)

        def count(part: Sequence[Decided], done: list[int]) -> list[int]:
            return self.finish([message for message, _ in part], done, "expired")

        self._settle([(message, Outcome.ack()) for message in messages], work, count)

    def _settle(
        self,
        decided: Sequence[Decided],
        work: Callable[[Sequence[Decided], bool], Work[list[int]]],
        count: Callable[[Sequence[Decided], list[int]], list[int]],
    ) -> list[int]:
        """Settle all together; if some are refused, one by one."""
        lost: list[int] = []
        failed: Exception | None = None
        parts = [decided] if decided else []
        while parts:
            part = parts.pop(0)
            messages = [message for message, _ in part]

            def make(again: bool, part: Sequence[Decided] = part) -> Work[list[int]]:
                self.heartbeat.let_go([message for message, _ in part])
                return work(part, again)

            try:
                done = self.connection.run(make, partial(self.heartbeat.hold, messages))
            except OUTAGES:
                raise
            except (PgmqError, DriverError) as exc:
                if isinstance(exc, QueueNotFound):
                    self.preparation.forget_dead_letter_queue()
                if len(part) > 1:
                    self.heartbeat.hold(messages)
                    parts = [[each] for each in part]
                else:
                    failed = failed or self._refuse_if_one(messages[0], exc)
            else:
                self.refused.end_row()
                lost += count(part, done)
        if failed is not None:
            raise failed
        return lost

    def _refuse_if_one(self, message: Message, exc: Exception) -> Exception | None:
        """Refuse one message; returns an error that ends the drain: it is about more, or refusing failed."""
        if not self.refused.is_one(exc):
            return exc
        try:
            self.refuse(message, exc)
        except OUTAGES:
            raise
        except (PgmqError, DriverError) as kept:
            return kept
        return None

    def refuse(self, message: Message, exc: Exception) -> None:
        """Give back a message whose outcome was refused; it comes back later, without counting a try."""
        self.refused.note(message, exc)
        self._later.add(message.msg_id)
        self.release([message])

    def check_caller_can_ack(self, messages: Sequence[Message], conn: Connection) -> None:
        """Check that a caller's transaction can ack these.

        A transaction that keeps a snapshot cannot change rows that were changed since, even by our heartbeat.
        """
        if not keeps_snapshot(conn):
            return
        self.heartbeat.let_go(messages)
        ids = [message.msg_id for message in messages]
        seen = self.client.run(lambda: reading.by_id(self.policy.queue_name, ids), conn)
        if {each.fence for each in seen} != {message.fence for message in messages}:
            raise BrokenOff(
                "The transaction keeps a snapshot from before these messages were read, so it could not ack "
                "them, and no work was done.",
                "In REPEATABLE READ and SERIALIZABLE, begin with `consume`, before the first query.",
            )

    def settle_within(self, decided: Sequence[Decided], conn: Connection) -> None:
        """Settle inside a caller's transaction."""
        self.prepare_for(decided)
        self.heartbeat.let_go([message for message, _ in decided])
        try:
            done = self.client.run(lambda: consuming.settle(self.policy, decided), conn)
        except Exception as exc:
            if self.refused.is_one(exc):
                self._later = {message.msg_id for message, _ in decided}
            raise
        self.raise_lost(decided, done)

    def count(self, decided: Sequence[Decided], done: list[int]) -> list[int]:
        """Count what was settled; returns the ids that were no longer ours."""
        lost: list[int] = []
        for kind in {outcome.kind: None for _, outcome in decided}:
            name = _NAMES[kind]
            lost += self.finish([message for message, each in decided if each.kind == kind], done, name)
        self._tell_stopped(decided, done)
        return lost

    def _tell_stopped(self, decided: Sequence[Decided], done: Sequence[int]) -> None:
        for message, outcome in decided:
            if outcome.kind == "dead" and message.msg_id in done and self.policy.stops_group(message):
                group = (message.headers or {}).get(GROUP)
                self.log.error(
                    "Queue %s: group %r is stopped at message %d: %s. Let it go on with `%s`, with "
                    "--conn-id for another connection than pgmq_default",
                    self.policy.queue_name,
                    group,
                    message.msg_id,
                    outcome.reason or "dead",
                    command(f"resume-group {shlex.quote(self.policy.queue_name)} {shlex.quote(str(group))}"),
                )

    def finish(self, messages: Sequence[Message], done: Sequence[int], name: str) -> list[int]:
        """Count messages under a name, or as lost if they are not in `done`; returns the lost ids."""
        ours = set(done)
        finished = [message for message in messages if message.msg_id in ours]
        for message in finished:
            self.unfinished.pop(message.msg_id, None)
        setattr(self.summary, name, getattr(self.summary, name) + len(finished))
        lost = [message for message in messages if message.msg_id not in ours]
        return self.count_lost(lost, f", not {name}")

    def count_lost(self, messages: Sequence[Message], instead: str = "") -> list[int]:
        """Count messages that are no longer ours; returns their ids.

        :param instead: what could not be done with them, for the log
        """
        ids = [message.msg_id for message in messages]
        for msg_id in ids:
            self.unfinished.pop(msg_id, None)
        self.summary.lost += len(ids)
        if ids:
            self.log.warning(
                "Queue %s: messages %s are no longer ours%s: read again, removed, or the queue was made "
                "again",
                self.policy.queue_name,
                ids,
                instead,
            )
        return ids

    def drop_lost(self, messages: Sequence[Message]) -> list[Message]:
        """The messages that are still ours, as far as the heartbeat knows."""
        if not self.heartbeat.lost:
            return list(messages)
        lost = [message for message in messages if message.fence in self.heartbeat.lost]
        self.count_lost(lost)
        return [message for message in messages if message.fence not in self.heartbeat.lost]

    def release(self, messages: Sequence[Message]) -> None:
        """Give messages back at once; for those that were not tried, the read does not count as a try."""
        if messages:
            self.heartbeat.let_go(messages)
            untried = [message.msg_id not in self.tried for message in messages]
            delays = [
                parse(self.policy.delay_of_refused(message)) if message.msg_id in self._later else AT_ONCE
                for message in messages
            ]
            done = self.client.run(
                lambda: consuming.release_each(self.policy.queue_name, messages, delays, untried)
            )
            self.finish(messages, done, "released")

    def give_back(self) -> None:
        """Release unfinished messages; if that fails, they come back after their visibility timeout."""
        untaken, self.next = self.next, []
        if self.ahead is not None:
            untaken += self.ahead.end()
        self.summary.read += len(untaken)
        self.unfinished.update((message.msg_id, message) for message in untaken)
        try:
            self.release(list(self.unfinished.values()))
        except Exception as exc:
            self.log.warning(
                "%d messages of queue %s come back only after their visibility timeout: %s",
                len(self.unfinished),
                self.policy.queue_name,
                exc,
            )

    def prepare_for(self, decided: Sequence[Decided]) -> None:
        """Make sure that what the outcomes need exists."""
        dead = [message for message, outcome in decided if outcome.kind == "dead"]
        if self.policy.max_reads is None and not all(map(self.policy.stops_group, dead)):
            self.preparation.make_dead_letter_queue(in_work=True)

    def raise_lost(self, decided: Sequence[Decided], done: list[int]) -> None:
        """Raise MessageLost for those that were not settled."""
        if lost := sorted({message.msg_id for message, _ in decided} - set(done)):
            raise MessageLost(self.policy.queue_name, lost)
