"""Waiting for messages and handing them on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from airflow.sdk import BaseSensorOperator, PokeReturnValue

from airflow_pgmq import settings
from airflow_pgmq.compat import AirflowSensorTimeout, utcnow
from airflow_pgmq.errors import InvalidMessage, PgmqError

if TYPE_CHECKING:
    from airflow.sdk import Context

    from airflow_pgmq.core.messages import Message
    from airflow_pgmq.hooks import PgmqHook

__all__ = ["PgmqSensor"]

Ack: TypeAlias = Literal["archive", "delete", "none"]


class PgmqSensor(BaseSensorOperator):
    """Wait for messages, hand them on in XCom, then ack them.

    The messages are read by the task itself, stored as its result and only then acked: a crash in between
    brings them back after `visibility_timeout`, so a downstream task may see a message twice, never not at
    all. Deferred, the trigger only looks; when another consumer was faster, the sensor waits on. Messages
    past their `expires_at` are archived and do not count.

    The result is a list of dicts with `msg_id`, `read_ct`, `enqueued_at`, `vt`, `message` and `headers`.

    :param queue_name: an existing queue (templated)
    :param condition: only messages that contain this (jsonb `@>`) (templated)
    :param headers_condition: only messages whose headers contain this: `{"job": "invoices"}` (templated)
    :param min_messages: wait until so many can be had at once
    :param max_messages: hand on at most so many; `min_messages` by default
    :param ack: `archive`, `delete`, or `none`: a later task acks them, within the visibility timeout
    :param visibility_timeout: whole seconds or a timedelta for which messages are hidden from others
    :param deferrable: wait in the triggerer; Airflow's `[operators] default_deferrable` by default
    :param poll_interval: seconds between looks while deferred
    :param pgmq_conn_id: the Airflow connection (templated)
    :raises AirflowSensorTimeout: after `timeout` in any mode; skipped instead with `soft_fail`
    :raises QueueNotFound: there is no such queue
    """

    template_fields: Sequence[str] = ("queue_name", "condition", "headers_condition", "pgmq_conn_id")
    template_fields_renderers = {"condition": "json", "headers_condition": "json"}  # noqa: RUF012 - as Airflow has it

    def __init__(
        self,
        *,
        queue_name: str,
        condition: Mapping[str, Any] | None = None,
        headers_condition: Mapping[str, Any] | None = None,
        min_messages: int = 1,
        max_messages: int | None = None,
        ack: Ack = "archive",
        visibility_timeout: int | timedelta = 60,
        deferrable: bool | None = None,
        poll_interval: float = 5.0,
        pgmq_conn_id: str = "pgmq_default",
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.queue_name = queue_name
        self.condition = condition
        self.headers_condition = headers_condition
        self.min_messages = min_messages
        self.max_messages = min_messages if max_messages is None else max_messages
        self.ack = ack
        self.visibility_timeout = visibility_timeout
        self.deferrable = settings.default_deferrable() if deferrable is None else deferrable
        self.poll_interval = poll_interval
        self.pgmq_conn_id = pgmq_conn_id
        if not 1 <= self.min_messages <= self.max_messages:
            raise InvalidMessage("min_messages must be at least 1 and at most max_messages.")
        if ack not in ("archive", "delete", "none"):
            raise InvalidMessage(f"ack must be 'archive', 'delete' or 'none', not {ack!r}.")

    @cached_property
    def hook(self) -> PgmqHook:
        """The hook, imported when the task runs: a Dag file stays light."""
        from airflow_pgmq.hooks import PgmqHook

        return PgmqHook(self.pgmq_conn_id)

    def poke(self, context: Context) -> bool | PokeReturnValue:
        """Take messages if there are enough."""
        if messages := self._take():
            return PokeReturnValue(True, self._deliver(messages, context))
        return False

    def execute(self, context: Context) -> Any:
        """Take what is there, or wait for it in the way that was asked for."""
        if not self.deferrable:
            return super().execute(context)
        return self._take_or_defer(context, utcnow() + timedelta(seconds=self.timeout))

    def execute_complete(
        self, context: Context, event: Mapping[str, Any], deadline: str | None = None
    ) -> Any:
        """Take the messages that the trigger saw; wait on if another consumer was faster."""
        if event["status"] == "error":
            raise PgmqError(event["message"])
        # `DAG.test()` of Airflow 3 forgets the arguments of a deferral.
        until = datetime.fromisoformat(deadline) if deadline else utcnow() + timedelta(seconds=self.timeout)
        return self._take_or_defer(context, until)

    def _take_or_defer(self, context: Context, deadline: datetime) -> Any:
        if messages := self._take():
            return self._deliver(messages, context)
        left = deadline - utcnow()
        if left <= timedelta(0):
            raise AirflowSensorTimeout(f"No messages in queue {self.queue_name!r} within {self.timeout} s.")
        from airflow_pgmq.triggers import PgmqMessageTrigger

        self.defer(
            trigger=PgmqMessageTrigger(
                queue_name=self.queue_name,
                condition=self.condition,
                headers_condition=self.headers_condition,
                min_messages=self.min_messages,
                poll_interval=self.poll_interval,
                pgmq_conn_id=self.pgmq_conn_id,
            ),
            method_name="execute_complete",
            kwargs={"deadline": deadline.isoformat()},
            timeout=left,
        )

    def _take(self) -> list[Message]:
        """Enough live messages, hidden from others; else none, and those that were too few are given back."""
        found: list[Message] = []
        while len(found) < self.max_messages:
            part = self.hook.read(
                self.queue_name,
                max_messages=self.max_messages - len(found),
                visibility_timeout=self.visibility_timeout,
                condition=self.condition,
                headers_condition=self.headers_condition,
            )
            now = utcnow()
            expired = [message for message in part if message.is_expired(now)]
            found += [message for message in part if not message.is_expired(now)]
            if not expired:
                break
            self.log.info("Archiving %d expired messages of queue %s", len(expired), self.queue_name)
            self.hook.archive(self.queue_name, expired)
        if len(found) >= self.min_messages:
            return found
        if found:
            self.hook.release(self.queue_name, found)
        return []

    def _deliver(self, messages: Sequence[Message], context: Context) -> list[dict[str, Any]]:
        result = [message.as_dict() for message in messages]
        if self.do_xcom_push:
            # Airflow would store the returned value only after this method: too late for an ack in it.
            context["ti"].xcom_push(key="return_value", value=result)
        if self.ack == "archive":
            self.hook.archive(self.queue_name, messages)
        elif self.ack == "delete":
            self.hook.delete(self.queue_name, messages)
        self.log.info("Queue %s: %d messages handed on, ack: %s", self.queue_name, len(messages), self.ack)
        return result
