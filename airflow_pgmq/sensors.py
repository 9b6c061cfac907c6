"""The sensor: it waits for messages and passes them to later tasks."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal, NoReturn, TypeAlias

from airflow.sdk import BaseSensorOperator, PokeReturnValue

from airflow_pgmq import settings
from airflow_pgmq.compat import (
    AirflowSensorTimeout,
    AirflowSkipException,
    AirflowTaskTimeout,
    has_succeeded,
    resumes_safely,
    utcnow,
)
from airflow_pgmq.core import payload, xcom
from airflow_pgmq.core.deadlines import Deadlines
from airflow_pgmq.core.delays import whole_seconds
from airflow_pgmq.errors import InvalidArgument, PgmqError
from airflow_pgmq.lineage import ReportsQueues
from airflow_pgmq.links import PgmqQueueLink, push_early

if TYPE_CHECKING:
    from airflow.sdk import Context

    from airflow_pgmq.core.messages import Message
    from airflow_pgmq.hooks import PgmqHook

__all__ = ["PgmqSensor"]

Ack: TypeAlias = Literal["archive", "delete", "none"]

#: Seconds until the executor has reported the end of a task's first part: nearly always less than five.
SHORTEST_WAIT = 6.0

#: The value of Airflow's `TriggerFailureReason.TRIGGER_TIMEOUT`, without importing it.
TRIGGER_TIMEOUT = "Trigger timeout"


class PgmqSensor(BaseSensorOperator, ReportsQueues):
    """Wait for messages, pass them on in XCom, then ack them.

    The task reads the messages and returns them. They are acked when Airflow has stored the result and the
    task's success. After a crash before that, or a failed ack (the log says so), they come back after
    `visibility_timeout`: a downstream task may get a message twice, but no message is lost. While the sensor
    is deferred, the trigger only waits for new messages and reads none; if another consumer was faster, the
    sensor continues to wait. Messages past their `expires_at` are archived and do not count.

    The result is a list of dicts with `msg_id`, `read_ct`, `enqueued_at`, `vt`, `message`, `headers` and
    `by_reference`. Messages that are too large for XCom, or that Airflow cannot store (a number beyond 64
    bits, 200 levels of nesting), come without `message` and `headers`, and `by_reference` is true. Then
    `PgmqHook().get_messages(queue_name, msg_ids)` returns them, and all messages are archived, even with
    `ack="delete"`.

    :param queue_name: an existing queue (templated)
    :param condition: only messages that contain this (jsonb `@>`) (templated)
    :param headers_condition: only messages whose headers contain this: `{"job": "invoices"}` (templated)
    :param ordered: of each group (`group=` of a message), only the next message, once no other one of it is
        out: see docs/guides/ordering.md
    :param min_messages: wait until this many can be read at once
    :param max_messages: return at most this many; `min_messages` by default
    :param ack: `archive`, `delete`, or `none`: a later task acks them, within the visibility timeout
    :param visibility_timeout: whole seconds or a timedelta for which messages are hidden from others
    :param max_xcom_bytes: larger results are passed by reference; `[pgmq] max_xcom_bytes` (48 KiB) by
        default
    :param deferrable: wait in the triggerer; Airflow's `[operators] default_deferrable` by default
    :param start_from_trigger: start deferred, without a worker, where Airflow supports it (3.3 and newer):
        for sensors that rarely find messages at once (docs/guides/waiting.md)
    :param poll_interval: the longest time in seconds between two polls while deferred; 60 by default, and 5
        where inserts into the queue are not announced or notifications do not arrive
    :param pgmq_conn_id: the Airflow connection (templated)
    :raises AirflowSensorTimeout: after `timeout` in any mode; skipped instead with `soft_fail`
    :raises AirflowTaskTimeout: after `execution_timeout`, if that is shorter; deferred time counts
    :raises QueueNotFound: there is no such queue
    :raises GroupIndexMissing: `ordered` needs an index that only the owner of the queue's table may make
    """

    template_fields: Sequence[str] = ("queue_name", "condition", "headers_condition", "pgmq_conn_id")
    template_fields_renderers = {"condition": "json", "headers_condition": "json"}  # noqa: RUF012 - as Airflow has it
    operator_extra_links = (PgmqQueueLink(),)

    def __init__(
        self,
        *,
        queue_name: str,
        condition: Mapping[str, Any] | None = None,
        headers_condition: Mapping[str, Any] | None = None,
        ordered: bool = False,
        min_messages: int = 1,
        max_messages: int | None = None,
        ack: Ack = "archive",
        visibility_timeout: int | timedelta = 60,
        max_xcom_bytes: int | None = None,
        deferrable: bool | None = None,
        start_from_trigger: bool = False,
        poll_interval: float | None = None,
        pgmq_conn_id: str = "pgmq_default",
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.queue_name = queue_name
        self.condition = condition
        self.headers_condition = headers_condition
        self.ordered = ordered
        self.min_messages = min_messages
        self.max_messages = min_messages if max_messages is None else max_messages
        self.ack = ack
        self.visibility_timeout = visibility_timeout
        self.max_xcom_bytes = max_xcom_bytes
        self.deferrable = settings.default_deferrable() if deferrable is None else deferrable
        self.poll_interval = poll_interval
        self.pgmq_conn_id = pgmq_conn_id
        if not 1 <= self.min_messages <= self.max_messages:
            raise InvalidArgument("min_messages must be at least 1 and at most max_messages.")
        if ack not in ("archive", "delete", "none"):
            raise InvalidArgument(f"ack must be 'archive', 'delete' or 'none', not {ack!r}.")
        self.start_from_trigger = start_from_trigger and self.deferrable
        if self.start_from_trigger:
            self._start_from_trigger()

    @cached_property
    def hook(self) -> PgmqHook:
        """The hook, imported only when the task runs, so that Dag files are parsed fast."""
        from airflow_pgmq.hooks import PgmqHook

        return PgmqHook(self.pgmq_conn_id)

    def poke(self, context: Context) -> bool | PokeReturnValue:
        """Read messages if there are enough."""
        if messages := self._take():
            return PokeReturnValue(True, self._deliver(messages, context))
        # Until the next poke, which may be minutes later, it holds no connection.
        self.hook.close()
        return False

    def execute(self, context: Context) -> Any:
        """Read messages if there are enough; else wait for them, deferred or not."""
        push_early(PgmqQueueLink(), self, context)
        if not self.deferrable:
            return super().execute(context)
        return self._take_or_defer(context, self._deadlines(utcnow()))

    def execute_complete(
        self,
        context: Context,
        event: Mapping[str, Any],
        deadline: str | None = None,
        execution_deadline: str | None = None,
    ) -> Any:
        """Read the messages that the trigger saw; continue to wait if another consumer was faster."""
        if event["status"] == "error":
            raise PgmqError(event["message"])
        if deadline:
            deadlines = Deadlines.from_texts(deadline, execution_deadline)
        else:
            # A sensor that started in the trigger has no deadlines, and `DAG.test()` does not keep them.
            started = getattr(context.get("ti"), "start_date", None)
            deadlines = self._deadlines(started or utcnow())
        return self._take_or_defer(context, deadlines)

    def resume_execution(self, next_method: str, next_kwargs: dict[str, Any] | None, context: Context) -> Any:
        """Skip with `soft_fail`: some versions of Airflow ignore it when the trigger times out."""
        try:
            return super().resume_execution(next_method, next_kwargs, context)
        except (AirflowSensorTimeout, AirflowSkipException) as exc:
            has_timed_out = (next_kwargs or {}).get("error") == TRIGGER_TIMEOUT
            if has_timed_out and self._deadlines(utcnow()).execution_is_first:
                raise AirflowTaskTimeout(self._timed_out(self.execution_timeout)) from exc
            if self.soft_fail and isinstance(exc, AirflowSensorTimeout):
                raise AirflowSkipException(str(exc)) from exc
            raise

    def queues_read(self) -> Sequence[str]:
        """The queue, for lineage."""
        return [self.queue_name]

    def _deadlines(self, started: datetime) -> Deadlines:
        return Deadlines.after(started, timedelta(seconds=self.timeout), self.execution_timeout)

    def _take_or_defer(self, context: Context, deadlines: Deadlines) -> Any:
        if messages := self._take():
            return self._deliver(messages, context)
        left = deadlines.first - utcnow()
        if left <= timedelta(0):
            self._give_up(deadlines)
        from airflow_pgmq.triggers import PgmqMessageTrigger

        shortest_wait = 0.0 if resumes_safely() else SHORTEST_WAIT
        self.defer(
            trigger=PgmqMessageTrigger(
                **self._trigger_arguments(), deadline=deadlines.first.isoformat(), shortest_wait=shortest_wait
            ),
            method_name="execute_complete",
            kwargs=deadlines.as_texts(),
            # Airflow's own timeout must not resume the task too early either.
            timeout=max(left, timedelta(seconds=shortest_wait + 1)),
        )

    def _give_up(self, deadlines: Deadlines) -> NoReturn:
        if deadlines.execution_is_first:
            # As in the other modes, `soft_fail` does not apply to it.
            raise AirflowTaskTimeout(self._timed_out(self.execution_timeout))
        text = self._timed_out(timedelta(seconds=self.timeout))
        raise AirflowSkipException(text) if self.soft_fail else AirflowSensorTimeout(text)

    def _timed_out(self, limit: timedelta | None) -> str:
        seconds = limit.total_seconds() if limit else 0
        return f"No messages in queue {self.queue_name!r} within {seconds:g} s."

    def _trigger_arguments(self) -> dict[str, Any]:
        return {
            "queue_name": self.queue_name,
            "condition": self.condition,
            "headers_condition": self.headers_condition,
            "ordered": self.ordered,
            "min_messages": self.min_messages,
            "poll_interval": self.poll_interval,
            "pgmq_conn_id": self.pgmq_conn_id,
        }

    def _start_from_trigger(self) -> None:
        # Imported only where it is used, so that Dag files are parsed fast.
        from airflow.triggers.base import BaseTrigger, StartTriggerArgs

        arguments = self._trigger_arguments()
        try:
            for name in ("condition", "headers_condition"):
                arguments[name] = payload.plain(arguments[name], what=name)
        except InvalidArgument:
            # A worker must resolve another task's output; it also reports other invalid conditions.
            self.start_from_trigger = False
            return
        if not hasattr(BaseTrigger, "render_template_fields") and "{{" in json.dumps(arguments):
            # Before 3.3, Airflow passes templates to the trigger unrendered.
            self.start_from_trigger = False
            return
        self.start_trigger_args = StartTriggerArgs(
            trigger_cls="airflow_pgmq.triggers.message.PgmqMessageTrigger",
            trigger_kwargs=arguments,
            next_method="execute_complete",
            timeout=self._deadlines(now := utcnow()).first - now,
        )

    def _take(self) -> list[Message]:
        """Read enough unexpired messages; if there are too few, give them back and return none."""
        if self.min_messages > 1 and not self._sees_enough():
            return []
        found: list[Message] = []
        while len(found) < self.max_messages:
            part = self.hook.read(
                self.queue_name,
                max_messages=self.max_messages - len(found),
                visibility_timeout=self.visibility_timeout,
                condition=self.condition,
                headers_condition=self.headers_condition,
                ordered=self.ordered,
            )
            timeout = whole_seconds(self.visibility_timeout)
            expired = [message for message in part if message.was_expired(timeout)]
            found += [message for message in part if not message.was_expired(timeout)]
            # In order, a message that was tried comes alone, and others may follow.
            if not part or not (expired or self.ordered):
                break
            if not expired:
                continue
            self.log.info("Archiving %d expired messages of queue %s", len(expired), self.queue_name)
            self.hook.archive(self.queue_name, expired)
        if len(found) >= self.min_messages:
            return found
        if found:
            # Another reader was faster, or some had expired; that must not count as a failed try.
            self.hook.release(self.queue_name, found, untried=True)
        return []

    def _sees_enough(self) -> bool:
        """Whether enough are visible. Checked before reading, which counts reads and hides messages."""
        from airflow_pgmq.db.statements import Statement, groups, reading

        count = groups.count if self.ordered else reading.visible
        look: Statement[Any] = count(
            self.queue_name,
            limit=self.min_messages,
            condition=self.condition,
            headers_condition=self.headers_condition,
        )
        found = self.hook.client.run(lambda: look)
        # Without its index, nothing can be counted in order; a read makes it.
        return found is None or found >= self.min_messages

    def _deliver(self, messages: Sequence[Message], context: Context) -> list[dict[str, Any]]:
        limit = settings.max_xcom_bytes() if self.max_xcom_bytes is None else self.max_xcom_bytes
        result = xcom.in_xcom(messages, limit)
        referred = sum(each["by_reference"] for each in result)
        ack = "archive" if referred and self.ack == "delete" else self.ack
        if ack != "none":
            # Airflow stores what this method returns. Storing it here, too, in order to ack now, would leave
            # a copy in a custom XCom backend that nothing refers to.
            self.on_success_callback = [
                _Ack(self.hook, self.queue_name, messages, ack, self.log),
                *_listed(self.on_success_callback),
            ]
        self.log.info(
            "Queue %s: %d messages returned, %d of them by reference, ack: %s",
            self.queue_name,
            len(messages),
            referred,
            ack,
        )
        return result


@dataclass(frozen=True)
class _Ack:
    """The callback that acks the messages after the task's success."""

    hook: PgmqHook
    queue_name: str
    messages: Sequence[Message]
    ack: Literal["archive", "delete"]
    log: Any

    def __call__(self, context: Context) -> None:
        """Ack. The task has already succeeded, so a failure is only logged, and the messages come back."""
        ids = [message.msg_id for message in self.messages]
        try:
            if not has_succeeded(context):
                raise PgmqError("Airflow has not stored the success of this task.")
            done = getattr(self.hook, self.ack)(self.queue_name, self.messages)
        except Exception:
            self.log.exception("Queue %s: messages %s are not acked and will come back", self.queue_name, ids)
            return
        if lost := sorted(set(ids) - set(done)):
            self.log.warning(
                "Queue %s: messages %s are no longer ours, not acked: read again, removed, or the queue was "
                "made again",
                self.queue_name,
                lost,
            )


def _listed(callbacks: Any) -> list[Any]:
    """A task's callbacks as Airflow runs them."""
    if not callbacks:
        return []
    return list(callbacks) if isinstance(callbacks, Iterable) else [callbacks]
