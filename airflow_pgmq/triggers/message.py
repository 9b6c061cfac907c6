"""The trigger of deferred tasks."""

from __future__ import annotations

import asyncio
import dataclasses
import time
from collections.abc import AsyncIterator, Mapping
from typing import Any

from airflow.triggers.base import BaseTrigger, TriggerEvent

from airflow_pgmq import metrics
from airflow_pgmq.compat import utcnow
from airflow_pgmq.core import iso8601
from airflow_pgmq.errors import PgmqError
from airflow_pgmq.hooks import PgmqHook
from airflow_pgmq.services.waiting.timing import within
from airflow_pgmq.triggers.serializable import Serializable

__all__ = ["PgmqMessageTrigger"]


@dataclasses.dataclass(kw_only=True, eq=False, repr=False)
class PgmqMessageTrigger(Serializable, BaseTrigger):
    """Fires when enough matching messages are visible. It does not read them: the worker reads and acks.

    All triggers of a triggerer that use the same Airflow connection share three connections to Postgres.

    :param queue_name: the queue
    :param condition: only messages that contain this (jsonb `@>`)
    :param headers_condition: only messages whose headers contain this
    :param ordered: only messages that a read with `ordered` would return
    :param min_messages: how many must be visible at once
    :param poll_interval: the longest time in seconds between two polls; 60 by default, and 5 where inserts
        into the queue are not announced or notifications do not arrive
    :param deadline: when to give up, as ISO 8601; Airflow's own timeout of a trigger is seconds late
    :param shortest_wait: in a triggerer, the shortest time in seconds from the trigger's start to its event;
        for versions of Airflow that fail a task which resumes too early (docs/guides/waiting.md)
    :param pgmq_conn_id: the Airflow connection
    """

    queue_name: str
    condition: Mapping[str, Any] | None = None
    headers_condition: Mapping[str, Any] | None = None
    ordered: bool = False
    min_messages: int = 1
    poll_interval: float | None = None
    deadline: str | None = None
    shortest_wait: float = 0.0
    pgmq_conn_id: str = "pgmq_default"

    def __post_init__(self) -> None:
        BaseTrigger.__init__(self)  # type: ignore[no-untyped-call]
        self.make_plain()

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Wait for messages. An outage of the database does not end the wait; another error does."""
        started = time.monotonic()
        event = await self._wait(started)
        if self.task_instance is not None:
            await asyncio.sleep(started + self.shortest_wait - time.monotonic())
        yield event

    async def _wait(self, started: float) -> TriggerEvent:
        try:
            watcher = await PgmqHook(self.pgmq_conn_id).watcher()
            waiting = watcher.wait(
                self.queue_name,
                condition=self.condition,
                headers_condition=self.headers_condition,
                ordered=self.ordered,
                min_messages=self.min_messages,
                poll_interval=self.poll_interval,
            )
            visible = await within(waiting, self._seconds_left())
        except PgmqError as exc:
            return _event(status="error", message=str(exc))
        except asyncio.TimeoutError:
            return _event(status="timeout")
        if self.min_messages == 1:
            # With several messages, the last one ends the wait, but only the age of the first is known.
            metrics.woken(self.queue_name, visible.waited, time.monotonic() - started)
        return _event(status="ready")

    def _seconds_left(self) -> float | None:
        if self.deadline is None:
            return None
        return max(0.0, (iso8601.parse(self.deadline) - utcnow()).total_seconds())


def _event(**payload: Any) -> TriggerEvent:
    return TriggerEvent(payload)  # type: ignore[no-untyped-call]
