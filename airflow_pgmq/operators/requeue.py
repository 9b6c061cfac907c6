"""Requeueing dead letters and archived messages."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from airflow_pgmq.core import names
from airflow_pgmq.core.consumer_policy import Source, check_source
from airflow_pgmq.core.delays import Delay
from airflow_pgmq.operators.base import DEFAULT_CONNECTION, PgmqOperator

if TYPE_CHECKING:
    from airflow.sdk import Context


class PgmqRequeueOperator(PgmqOperator):
    """Requeue dead letters, or archived messages, into their queue, in one statement.

    They become new, unread messages with the same payload, headers and `enqueued_at`. Their dedup keys are
    not claimed again. The result maps old ids to new ones; the old ids are text, because JSON keys are text.

    :param queue_name: where they go (templated)
    :param source: `dead_letters`, or the queue's `archive`, which needs `msg_ids` or a condition
    :param dead_letter_queue: `<queue>_dlq` by default; from a shared one only this queue's messages return
        (templated)
    :param msg_ids: only these, by their ids in the dead letter queue or archive (templated)
    :param condition: only messages that contain this (jsonb `@>`) (templated)
    :param headers_condition: only messages whose headers contain this, such as
        `{"dead_letter": {"msg_id": 7}}` (templated)
    :param max_messages: at most this many, oldest first; None: all
    :param delay: seconds, a timedelta or an instant until they are visible (templated)
    :param pgmq_conn_id: the Airflow connection (templated)
    :raises InvalidArgument: `source` is neither of the two, or `dead_letter_queue` is given for the archive
    :raises QueueNotFound: there is no such queue
    """

    template_fields: Sequence[str] = (
        "queue_name",
        "dead_letter_queue",
        "msg_ids",
        "condition",
        "headers_condition",
        "delay",
        "pgmq_conn_id",
    )
    template_fields_renderers = {"condition": "json", "headers_condition": "json"}  # noqa: RUF012 - as Airflow has it

    def __init__(
        self,
        *,
        queue_name: str,
        source: Source = "dead_letters",
        dead_letter_queue: str | None = None,
        msg_ids: Sequence[int] | None = None,
        condition: Mapping[str, Any] | None = None,
        headers_condition: Mapping[str, Any] | None = None,
        max_messages: int | None = 1000,
        delay: Delay = None,
        pgmq_conn_id: str = DEFAULT_CONNECTION,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        check_source(source, dead_letter_queue)
        self.queue_name = queue_name
        self.source = source
        self.dead_letter_queue = dead_letter_queue
        self.msg_ids = msg_ids
        self.condition = condition
        self.headers_condition = headers_condition
        self.max_messages = max_messages
        self.delay = delay
        self.pgmq_conn_id = pgmq_conn_id

    def queues_read(self) -> Sequence[str]:
        """The dead letter queue, for lineage."""
        if self.source == "archive":
            return []
        return [self.dead_letter_queue or names.dead_letter_queue(self.queue_name)]

    def queues_written(self) -> Sequence[str]:
        """The queue, for lineage."""
        return [self.queue_name]

    def execute(self, context: Context) -> dict[str, int]:
        """Requeue the messages; return old id → new id."""
        moved = self.hook.requeue(
            self.queue_name,
            source=self.source,
            dead_letter_queue=self.dead_letter_queue,
            msg_ids=self.msg_ids,
            condition=self.condition,
            headers_condition=self.headers_condition,
            max_messages=self.max_messages,
            delay=self.delay,
        )
        self.log.info("%d messages are back in queue %s", len(moved), self.queue_name)
        return {str(old): new for old, new in moved.items()}
