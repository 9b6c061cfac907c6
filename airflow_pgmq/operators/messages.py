"""Tasks on messages that an earlier task has read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from airflow_pgmq.core import delays
from airflow_pgmq.core.consumer_policy import Ack
from airflow_pgmq.core.delays import Delay
from airflow_pgmq.errors import InvalidArgument, MessageLost
from airflow_pgmq.operators.base import DEFAULT_CONNECTION, PgmqOperator

if TYPE_CHECKING:
    from airflow.sdk import Context

    from airflow_pgmq.core.messages import Reference
    from airflow_pgmq.db.statements.reading import Messages


class _HeldMessages(PgmqOperator):
    """Base of operators on messages in flight: those of `PgmqSensor(ack="none")`, or ids."""

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
        """Run the action; return the ids of the messages that the task still held."""
        from airflow_pgmq.core.messages import fences

        messages = _references(self.messages)
        wanted = fences(messages).msg_ids
        done = sorted(self._apply(messages, context)) if wanted else []
        self.log.info("Queue %s: %d of %d messages", self.queue_name, len(done), len(wanted))
        if lost := sorted(set(wanted) - set(done)):
            if self.fail_on_lost:
                raise MessageLost(self.queue_name, lost)
            self.log.warning("No longer held by this task, or gone: %s", lost)
        return done

    def _apply(self, messages: Messages, context: Context) -> list[int]:
        raise NotImplementedError


class PgmqAckOperator(_HeldMessages):
    """Ack messages in the last task of a Dag, when the results of the work are stored.

    Pass the result of `PgmqSensor(ack="none")`: each ack is fenced by `read_ct` and `enqueued_at`, so a
    message whose visibility timeout ran out and that another reader has read since is left to that reader.
    Plain ids are not fenced.
    The result is the ids that were acked by this try of the task or an earlier one.

    :param queue_name: the queue (templated)
    :param messages: what a sensor returned, one such dict, or ids (templated)
    :param ack: `archive` or `delete`
    :param fail_on_lost: fail if the task no longer held some of them; a warning by default
    :param pgmq_conn_id: the Airflow connection (templated)
    :raises MessageLost: with `fail_on_lost`
    """

    def __init__(self, *, queue_name: str, messages: Any, ack: Ack = "archive", **kwargs: Any) -> None:
        super().__init__(queue_name=queue_name, messages=messages, **kwargs)
        self.ack = ack
        if ack not in ("archive", "delete"):
            raise InvalidArgument(f"ack must be 'archive' or 'delete', not {ack!r}.")

    def _apply(self, messages: Messages, context: Context) -> list[int]:
        from airflow_pgmq.core.messages import fences, references

        done = (self.hook.archive if self.ack == "archive" else self.hook.delete)(self.queue_name, messages)
        if missing := [each for each in references(messages) if fences(each).msg_ids[0] not in set(done)]:
            done += self._acked_before(missing, context)
        return done

    def _acked_before(self, messages: Messages, context: Context) -> list[int]:
        """The ids that an earlier try of this task acked before it ended without a result."""
        from airflow_pgmq.db.statements import reading

        archived = self.ack == "archive"
        if not archived and getattr(context.get("ti"), "try_number", 1) <= 1:
            # A deleted message leaves nothing that shows which task deleted it.
            return []
        return self.hook.client.run(lambda: reading.settled(self.queue_name, messages, archived=archived))


class PgmqReleaseOperator(_HeldMessages):
    """Give messages back to the queue, for example when a later task failed (`trigger_rule="one_failed"`).

    :param queue_name: the queue (templated)
    :param messages: what a sensor returned, one such dict, or ids (templated)
    :param delay: seconds, a timedelta, an instant, or text of seconds or ISO 8601, until they are visible;
        at once by default (templated)
    :param fail_on_lost: fail if the task no longer held some of them; a warning by default
    :param pgmq_conn_id: the Airflow connection (templated)
    :raises MessageLost: with `fail_on_lost`
    """

    template_fields: Sequence[str] = (*_HeldMessages.template_fields, "delay")

    def __init__(self, *, queue_name: str, messages: Any, delay: Delay = None, **kwargs: Any) -> None:
        super().__init__(queue_name=queue_name, messages=messages, **kwargs)
        self.delay = delay

    def _apply(self, messages: Messages, context: Context) -> list[int]:
        return self.hook.release(self.queue_name, messages, delay=self.delay)


class PgmqExtendOperator(_HeldMessages):
    """Keep messages hidden longer, before a task that takes longer than the rest of their visibility timeout.

    :param queue_name: the queue (templated)
    :param messages: what a sensor returned, one such dict, or ids (templated)
    :param visibility_timeout: whole seconds or a timedelta from now
    :param fail_on_lost: fail if the task no longer held some of them; a warning by default
    :param pgmq_conn_id: the Airflow connection (templated)
    :raises MessageLost: with `fail_on_lost`
    """

    def __init__(
        self, *, queue_name: str, messages: Any, visibility_timeout: int | timedelta, **kwargs: Any
    ) -> None:
        super().__init__(queue_name=queue_name, messages=messages, **kwargs)
        self.visibility_timeout = visibility_timeout
        delays.whole_seconds(visibility_timeout)

    def _apply(self, messages: Messages, context: Context) -> list[int]:
        return self.hook.extend(self.queue_name, messages, visibility_timeout=self.visibility_timeout)


def _references(messages: Any) -> list[Reference]:
    """The value from XCom as references; a text means that a template was not rendered as a native value."""
    if messages is None:
        return []
    if isinstance(messages, (Mapping, int)):
        return [messages]
    if isinstance(messages, str):
        raise InvalidArgument(
            f"messages is the text {messages[:60]!r}. Pass the sensor's .output instead of a template, or "
            "set render_template_as_native_obj=True on the Dag."
        )
    return list(messages)
