"""Reads the next batch while the current one is worked on, in a thread with a connection of its own."""

from __future__ import annotations

from concurrent.futures import Future, ThreadPoolExecutor

from airflow_pgmq.core.consumer_policy import Policy
from airflow_pgmq.core.messages import Message
from airflow_pgmq.db.client import Client
from airflow_pgmq.db.statements import consuming
from airflow_pgmq.services.consuming.heartbeat import Heartbeat
from airflow_pgmq.services.consuming.kept_connection import KeptConnection


class ReadAhead:
    """At most one batch ahead, of messages that nobody has read; the heartbeat holds them until their turn.

    A read that fails is left out: the consumer's own read says why.
    """

    def __init__(self, client: Client, policy: Policy, heartbeat: Heartbeat) -> None:
        self._policy = policy
        self._heartbeat = heartbeat
        self._connection = KeptConnection(client, patience=0)
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="pgmq-read-ahead")
        self._next: Future[list[Message]] | None = None

    def start(self, max_messages: int) -> None:
        """Begin to read."""
        if self._next is None:
            self._next = self._pool.submit(self._read, max_messages)

    def has_messages(self) -> bool:
        """Whether it has read any, once the read has ended."""
        if self._next is None or (self._next.exception() is None and self._next.result()):
            return self._next is not None
        self._next = None
        return False

    def take(self) -> list[Message]:
        """The messages, which are the caller's from now on."""
        assert self._next is not None
        found, self._next = self._next.result(), None
        return found

    def end(self) -> list[Message]:
        """End the thread; returns what nobody took."""
        found = self.take() if self.has_messages() else []
        self._pool.shutdown()
        self._connection.close()
        return found

    def _read(self, max_messages: int) -> list[Message]:
        found = self._connection.run(lambda again: consuming.read(self._policy, max_messages, unread=True))
        self._heartbeat.hold(found)
        return found
