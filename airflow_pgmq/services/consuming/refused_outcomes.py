"""Outcomes that the database refuses, by an index, a constraint or a trigger that others have added."""

from __future__ import annotations

from airflow_pgmq.core.consumer_policy import Policy
from airflow_pgmq.core.messages import Message
from airflow_pgmq.db.client import OUTAGES, DriverError
from airflow_pgmq.db.driver.translation import words
from airflow_pgmq.errors import ArchiveRefused, PermissionDenied
from airflow_pgmq.services.consuming.heartbeat import Log

#: This many in a row end the drain, since further work would probably be refused, too.
IN_A_ROW = 3


class RefusedOutcomes:
    """The refusals of one drain. The work is not at fault; the message comes back later."""

    def __init__(self, policy: Policy, log: Log) -> None:
        self._policy = policy
        self._log = log
        #: Why, by message.
        self.why: dict[int, Exception] = {}
        self._in_a_row = 0

    @staticmethod
    def is_one(exc: BaseException) -> bool:
        """Whether the error is about one message; a missing privilege or queue, or an outage, is not."""
        if isinstance(exc, PermissionDenied):
            return exc.is_of_row
        return isinstance(exc, (ArchiveRefused, DriverError)) and not isinstance(exc, OUTAGES)

    @property
    def first(self) -> Exception | None:
        """The error that the drain ends with."""
        return next(iter(self.why.values()), None)

    @property
    def are_many(self) -> bool:
        """Whether the drain should end."""
        return self._in_a_row >= IN_A_ROW

    def note(self, message: Message, exc: Exception) -> None:
        """Note a refusal."""
        self.why.setdefault(message.msg_id, exc)
        self._in_a_row += 1
        self._log.error(
            "Message %d of queue %s cannot leave it, so it comes back in %.0f s: %s",
            message.msg_id,
            self._policy.queue_name,
            self._policy.delay_of_refused(message),
            words(exc),
        )

    def end_row(self) -> None:
        """Note that a message was settled."""
        self._in_a_row = 0
