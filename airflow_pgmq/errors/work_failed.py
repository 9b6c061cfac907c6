"""Errors of a function, or SQL, that consumes messages."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from airflow_pgmq.errors.base import PgmqError


class WorkFailed(PgmqError):
    """The function or the SQL that consumes messages failed, or did what it must not do.

    Correct it; messages that are not acked come back or become dead letters.
    """


class MessagesFailed(WorkFailed):
    """The queue was drained, but some messages failed; they were released or are dead letters.

    Find the reasons in the task's log, then requeue the dead letters; `fail_on` says when a task fails.
    """

    def __init__(self, queue_name: str, counts: Mapping[str, Any]) -> None:
        self.queue_name = queue_name
        self.counts = dict(counts)
        shown = ", ".join(f"{name} {count}" for name, count in counts.items())
        super().__init__(
            f"{counts['failed']} of {counts['read']} messages of queue {queue_name!r} failed ({shown})."
        )


class InvalidOutcome(WorkFailed, TypeError):
    """A consuming function returned something that is not an outcome of its messages.

    Return None, or outcomes as in docs/guides/consuming.md. Also a `TypeError` of Python.
    """


class TransactionEnded(WorkFailed):
    """Work ended the transaction that it was given, so that its effect and the ack are not one commit.

    Leave COMMIT and ROLLBACK to the consumer; nothing was acked.
    """

    def __init__(self) -> None:
        super().__init__(
            "The work ended the transaction that it was given (a COMMIT or ROLLBACK in its SQL), so its "
            "effect and the ack cannot happen together: nothing was acked. Leave the end to the consumer; "
            "`with conn.transaction():` undoes a part of the work."
        )
