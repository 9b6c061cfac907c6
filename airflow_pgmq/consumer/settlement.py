"""What was read and is not settled yet, and how it is settled: acked, retried, dead, lost or given back."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from airflow_pgmq.client import Client, Connection, drive
from airflow_pgmq.consumer.heartbeat import Heartbeat, Log
from airflow_pgmq.core.consuming import Policy, Summary
from airflow_pgmq.core.messages import Message
from airflow_pgmq.core.outcomes import Decided
from airflow_pgmq.errors import MessageLost, PermissionDenied
from airflow_pgmq.statements import Flow, Statement, consuming, reading

_NAMES = {"ack": "acked", "retry": "retried", "dead": "dead"}


class Settlement:
    """The messages that are ours now. Each leaves exactly once, into one count of the summary."""

    def __init__(self, client: Client, policy: Policy, summary: Summary, log: Log) -> None:
        self.client = client
        self.policy = policy
        self.summary = summary
        self.log = log
        self.heartbeat = Heartbeat(client, policy.queue_name, policy.visibility_timeout, log)
        self.unfinished: dict[int, Message] = {}

    def take(self, messages: Sequence[Message]) -> None:
        """These were read just now."""
        self.summary.batches += 1
        self.summary.read += len(messages)
        self.unfinished = {message.msg_id: message for message in messages}

    def prepare(self) -> None:
        """Make sure that dead letters have a place, before anything is read."""
        try:
            if self.client.run(lambda: consuming.prepare(self.policy)):
                self.log.info("Created the dead letter queue %s", self.policy.dead_letters)
        except PermissionDenied as exc:
            raise consuming.not_allowed(self.policy, exc) from exc

    def settle(self, conn: Connection, decided: Sequence[Decided]) -> list[int]:
        """Let every outcome come true, in one transaction of our own; the ids that were not ours any more."""
        statements = self._statements(decided)
        if len(statements) == 1:
            done = drive(statements[0], conn)
        else:
            done = self.client.attempt(lambda: _in_turn(statements), conn)
        return self.count(decided, done)

    def settle_within(self, decided: Sequence[Decided]) -> Flow[None]:
        """The same inside the transaction of the work, which must not stand if a message was lost."""
        done = yield from _in_turn(self._statements(decided))
        if lost := sorted({message.msg_id for message, _ in decided} - set(done)):
            raise MessageLost(self.policy.queue_name, lost)

    def count(self, decided: Sequence[Decided], done: Sequence[int]) -> list[int]:
        """Note what was settled; the ids that were not ours any more."""
        lost: list[int] = []
        for kind, name in _NAMES.items():
            lost += self.finish([message for message, each in decided if each.kind == kind], done, name)
        return lost

    def finish(self, messages: Sequence[Message], done: Sequence[int], name: str) -> list[int]:
        """Count messages under a name, those that are not among the done as lost."""
        ours = set(done)
        lost = [message.msg_id for message in messages if message.msg_id not in ours]
        for message in messages:
            self.unfinished.pop(message.msg_id, None)
        setattr(self.summary, name, getattr(self.summary, name) + len(messages) - len(lost))
        self.summary.lost += len(lost)
        if lost:
            self.log.warning(
                "Queue %s: %s are somebody else's by now, not %s", self.policy.queue_name, lost, name
            )
        return lost

    def drop_lost(self, messages: Sequence[Message]) -> list[Message]:
        """Those that are still ours, as far as the heartbeat knows."""
        lost = [message for message in messages if message.msg_id in self.heartbeat.lost]
        self.finish(lost, [], "acked")
        return [message for message in messages if message.msg_id not in self.heartbeat.lost]

    def release(self, messages: Sequence[Message]) -> None:
        """Give messages back at once, untouched."""
        if messages:
            self.heartbeat.let_go(messages)
            done = self.client.run(lambda: reading.set_vt(self.policy.queue_name, messages, 0))
            self.finish(messages, done, "released")

    def give_back(self) -> None:
        """Release what is unfinished; where that fails too, the visibility timeout will do it."""
        try:
            self.release(list(self.unfinished.values()))
        except Exception as exc:
            self.log.warning(
                "%d messages of queue %s come back only after their visibility timeout: %s",
                len(self.unfinished),
                self.policy.queue_name,
                exc,
            )

    def _statements(self, decided: Sequence[Decided]) -> list[Statement[list[int]]]:
        if self.policy.max_reads is None and any(outcome.kind == "dead" for _, outcome in decided):
            self.prepare()
        self.heartbeat.let_go([message for message, _ in decided])
        return consuming.settle(self.policy, decided)


def _in_turn(statements: Sequence[Statement[Any]]) -> Flow[list[int]]:
    done: list[int] = []
    for statement in statements:
        done += yield statement
    return done
