"""What a consumer makes sure of and looks up before its first read, once for each client."""

from __future__ import annotations

from airflow_pgmq.core.consumer_policy import Policy
from airflow_pgmq.db.client import Client
from airflow_pgmq.db.statements import Work, consuming
from airflow_pgmq.errors import PermissionDenied
from airflow_pgmq.services.consuming.heartbeat import Log
from airflow_pgmq.services.consuming.kept_connection import KeptConnection


class Preparation:
    """Of one queue and its dead letter queue, on the consumer's connection."""

    def __init__(self, client: Client, policy: Policy, connection: KeptConnection, log: Log) -> None:
        self._client = client
        self._policy = policy
        self._connection = connection
        self._log = log
        self._dead_letters = f"dead letters {policy.queue_name} {policy.dead_letters}"

    def make_dead_letter_queue(self, *, in_work: bool = False) -> None:
        """Make sure that the dead letter queue exists.

        :param in_work: whether the connection may be in the transaction of the work
        """
        if not in_work:
            # Opened here, so that its errors are not taken for a missing privilege on the queue.
            self._connection.open()

        def make(again: bool = False) -> Work[bool]:
            return consuming.prepare(self._policy)

        def check() -> None:
            try:
                if self._client.run(make) if in_work else self._connection.run(make):
                    self._log.info("Created the dead letter queue %s", self._policy.dead_letters)
            except PermissionDenied as exc:
                raise consuming.not_allowed(self._policy, exc) from exc

        self._client.once(self._dead_letters, check)

    def forget_dead_letter_queue(self) -> None:
        """Note that a queue is missing; the next consumer makes it again."""
        self._client.forget(self._dead_letters)

    def archive_columns(self) -> tuple[str, ...]:
        """How to archive without PGMQ's function, which takes longer."""
        if self._policy.ack != "archive":
            return ()
        name = self._policy.queue_name
        return self._client.fact(
            f"archive {name}", lambda: self._connection.run(lambda again: consuming.archive_columns(name))
        )
