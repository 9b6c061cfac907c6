"""Tasks on messages that an earlier task has read, and on those that were put aside."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from airflow_pgmq.core import batch, names
from airflow_pgmq.core.consuming import Ack
from airflow_pgmq.core.messages import Reference, fences
from airflow_pgmq.errors import InvalidMessage, MessageLost
from airflow_pgmq.operators.base import DEFAULT_CONNECTION, PgmqOperator

if TYPE_CHECKING:
    from airflow.sdk import Context

    from airflow_pgmq.statements.reading import Messages

Source: TypeAlias = Literal["dead_letters", "archive"]


class _HeldMessages(PgmqOperator):
    """On messages that are in flight: those of `PgmqSensor(ack="none")`, or ids."""

    template_fields: Sequence[str] = ("queue_name", "messages", "pgmq_conn_id")

    def __init__(
        self,
        *,
        queue_name: str,
        messages: Any,
        fail_on_lost: bool = False,
        pgmq_conn_id: str = DEFAULT_CONNECTION,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.queue_name = queue_name
        self.messages = messages
        self.fail_on_lost = fail_on_lost
        self.pgmq_conn_id = pgmq_conn_id

    def execute(self, context: Context) -> list[int]:
        """Do it; the ids of the messages that were still ours."""
        messages = _references(self.messages)
        wanted, _ = fences(messages)
        done = sorted(self._apply(messages)) if wanted else []
        self.log.info("Queue %s: %d of %d messages", self.queue_name, len(done), len(wanted))
        if lost := sorted(set(wanted) - set(done)):
            if self.fail_on_lost:
                raise MessageLost(self.queue_name, lost)
            self.log.warning("Not ours any more, or gone: %s", lost)
        return done

    def _apply(self, messages: Messages) -> list[int]:
        raise NotImplementedError


class PgmqAckOperator(_HeldMessages):
    """Ack messages in the last task of a Dag, when what was made of them is safe.

    Hand on the result of `PgmqSensor(ack="none")`: each ack is fenced by `read_ct`, so a message whose
    visibility timeout ran out and that somebody else has read since is left to them. Bare ids are not fenced.
    The result is the ids that were acked.

    :param queue_name: the queue (templated)
    :param messages: what a sensor returned, one such dict, or ids (templated)
    :param ack: `archive` or `delete`
    :param fail_on_lost: fail if some were not ours any more; a warning by default
    :param pgmq_conn_id: the Airflow connection (templated)
    :raises MessageLost: with `fail_on_lost`
    """

    def __init__(self, *, queue_name: str, messages: Any, ack: Ack = "archive", **kwargs: Any) -> None:
        super().__init__(queue_name=queue_name, messages=messages, **kwargs)
        self.ack = ack
        if ack not in ("archive", "delete"):
            raise InvalidMessage(f"ack must be 'archive' or 'delete', not {ack!r}.")

    def _apply(self, messages: Messages) -> list[int]:
        return (self.hook.archive if self.ack == "archive" else self.hook.delete)(self.queue_name, messages)


class PgmqReleaseOperator(_HeldMessages):
    """Give messages back to the queue, for example when a later task failed (`trigger_rule="one_failed"`).

    :param queue_name: the queue (templated)
    :param messages: what a sensor returned, one such dict, or ids (templated)
    :param delay: seconds, a timedelta, an instant, or text of seconds or ISO 8601, until they are visible;
        at once by default (templated)
    :param fail_on_lost: fail if some were not ours any more; a warning by default
    :param pgmq_conn_id: the Airflow connection (templated)
    :raises MessageLost: with `fail_on_lost`
    """

    template_fields: Sequence[str] = (*_HeldMessages.template_fields, "delay")

    def __init__(self, *, queue_name: str, messages: Any, delay: batch.Delay = None, **kwargs: Any) -> None:
        super().__init__(queue_name=queue_name, messages=messages, **kwargs)
        self.delay = delay

    def _apply(self, messages: Messages) -> list[int]:
        return self.hook.release(self.queue_name, messages, delay=self.delay)


class PgmqExtendOperator(_HeldMessages):
    """Hold messages longer, before a task that takes longer than what is left of their visibility timeout.

    :param queue_name: the queue (templated)
    :param messages: what a sensor returned, one such dict, or ids (templated)
    :param visibility_timeout: whole seconds or a timedelta from now
    :param fail_on_lost: fail if some were not ours any more; a warning by default
    :param pgmq_conn_id: the Airflow connection (templated)
    :raises MessageLost: with `fail_on_lost`
    """

    def __init__(
        self, *, queue_name: str, messages: Any, visibility_timeout: int | timedelta, **kwargs: Any
    ) -> None:
        super().__init__(queue_name=queue_name, messages=messages, **kwargs)
        self.visibility_timeout = visibility_timeout
        batch.whole_seconds(visibility_timeout)

    def _apply(self, messages: Messages) -> list[int]:
        return self.hook.extend(self.queue_name, messages, visibility_timeout=self.visibility_timeout)


class PgmqRequeueOperator(PgmqOperator):
    """Bring dead letters, or archived messages, back into their queue, in one statement.

    They come as new messages, unread, with the payload, headers and `enqueued_at` that they had. Their dedup
    keys are not claimed again. The result maps old ids to new ones, as text because JSON has no other keys.

    :param queue_name: where they go (templated)
    :param source: `dead_letters`, or the queue's `archive`; then say which ones
    :param dead_letter_queue: `<queue>_dlq` by default; of a shared one, only this queue's come back
        (templated)
    :param msg_ids: only these, by their ids in the dead letter queue or archive (templated)
    :param condition: only messages that contain this (jsonb `@>`) (templated)
    :param headers_condition: only messages whose headers contain this, such as
        `{"dead_letter": {"msg_id": 7}}` (templated)
    :param limit: at most so many, oldest first; None: all
    :param delay: seconds, a timedelta or an instant until they are visible (templated)
    :param pgmq_conn_id: the Airflow connection (templated)
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
        limit: int | None = 1000,
        delay: batch.Delay = None,
        pgmq_conn_id: str = DEFAULT_CONNECTION,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        if source not in ("dead_letters", "archive"):
            raise InvalidMessage(f"source must be 'dead_letters' or 'archive', not {source!r}.")
        self.queue_name = queue_name
        self.source = source
        self.dead_letter_queue = dead_letter_queue
        self.msg_ids = msg_ids
        self.condition = condition
        self.headers_condition = headers_condition
        self.limit = limit
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
        """Requeue; old id → new id."""
        moved = self.hook.requeue(
            self.queue_name,
            from_archive=self.source == "archive",
            dead_letter_queue=self.dead_letter_queue,
            msg_ids=self.msg_ids,
            condition=self.condition,
            headers_condition=self.headers_condition,
            limit=self.limit,
            delay=self.delay,
        )
        self.log.info("%d messages are back in queue %s", len(moved), self.queue_name)
        return {str(old): new for old, new in moved.items()}


def _references(messages: Any) -> list[Reference]:
    """XCom's value as references; a text is a template that was meant to be a value."""
    if messages is None:
        return []
    if isinstance(messages, (Mapping, int)):
        return [messages]
    if isinstance(messages, str):
        raise InvalidMessage(
            f"messages is the text {messages[:60]!r}. Pass the sensor's .output instead of a template, or "
            "set render_template_as_native_obj=True on the Dag."
        )
    return list(messages)
