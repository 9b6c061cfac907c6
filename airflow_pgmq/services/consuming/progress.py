"""The progress of a long drain, in the log."""

from __future__ import annotations

from airflow_pgmq.core.consumer_policy import Policy
from airflow_pgmq.db.statements import reading
from airflow_pgmq.services.consuming.heartbeat import Log
from airflow_pgmq.services.consuming.kept_connection import KeptConnection

#: Seconds between two lines, and the most waiting messages that they count.
INTERVAL = 10.0
COUNTED = 100_000


class Progress:
    """A log line from time to time: how many messages are done, how fast, and how many are left."""

    def __init__(self, policy: Policy, log: Log, now: float) -> None:
        self._policy = policy
        self._log = log
        self._began = now
        self._next = now + INTERVAL

    def is_due(self, now: float) -> bool:
        """Whether a line is due; if so, the next one is due an interval later."""
        if now < self._next:
            return False
        self._next = now + INTERVAL
        return True

    def report(self, connection: KeptConnection, done: int, now: float) -> None:
        """Write a line."""
        waiting = connection.run(
            lambda again: reading.visible(
                self._policy.queue_name,
                limit=COUNTED,
                condition=self._policy.condition,
                headers_condition=self._policy.headers_condition,
            )
        )
        seconds = now - self._began
        self._log.info(
            "Queue %s: %d messages in %.0f s (%.1f/s), %s left",
            self._policy.queue_name,
            done,
            seconds,
            done / seconds,
            f"{waiting:,}" if waiting < COUNTED else f"{COUNTED:,} or more",
        )
