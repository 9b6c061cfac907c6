"""Waiting in the triggerer."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import AsyncIterator, Mapping
from typing import Any

from airflow.triggers.base import BaseTrigger, TriggerEvent
from asgiref.sync import sync_to_async

from airflow_pgmq.client import OperationalError
from airflow_pgmq.errors import PgmqError
from airflow_pgmq.hooks import PgmqHook
from airflow_pgmq.statements import reading

__all__ = ["PgmqMessageTrigger"]


class _Serializable(BaseTrigger):
    """A trigger whose parameters are its dataclass fields, each written once."""

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Class path and parameters, all of them JSON."""
        fields = dataclasses.fields(self)  # type: ignore[arg-type]  # subclasses are dataclasses
        path = f"{type(self).__module__}.{type(self).__qualname__}"
        return path, {field.name: getattr(self, field.name) for field in fields}


@dataclasses.dataclass(kw_only=True, eq=False, repr=False)
class PgmqMessageTrigger(_Serializable):
    """Fires when enough matching messages are visible. It only looks: reading and acking are the worker's.

    :param queue_name: the queue
    :param condition: only messages that contain this (jsonb `@>`)
    :param headers_condition: only messages whose headers contain this
    :param min_messages: how many must be visible at once
    :param poll_interval: seconds between looks
    :param pgmq_conn_id: the Airflow connection
    """

    queue_name: str
    condition: Mapping[str, Any] | None = None
    headers_condition: Mapping[str, Any] | None = None
    min_messages: int = 1
    poll_interval: float = 5.0
    pgmq_conn_id: str = "pgmq_default"

    def __post_init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Look, sleep, look again; an outage of the database is waited out, a mistake ends the wait."""
        statement = reading.visible(
            self.queue_name,
            limit=self.min_messages,
            condition=self.condition,
            headers_condition=self.headers_condition,
        )
        # Looking up a connection blocks, and does so on every lookup: not on the event loop.
        client = await sync_to_async(PgmqHook(self.pgmq_conn_id).async_client)()
        failing = False
        while True:
            try:
                visible = await client.run(statement)
            except PgmqError as exc:
                yield _event(status="error", message=str(exc))
                return
            except OperationalError as exc:
                if not failing:
                    self.log.warning("Queue %s cannot be reached, waiting: %s", self.queue_name, exc)
                failing = True
            else:
                failing = False
                if visible >= self.min_messages:
                    yield _event(status="ready")
                    return
            await asyncio.sleep(self.poll_interval)


def _event(**payload: Any) -> TriggerEvent:
    return TriggerEvent(payload)  # type: ignore[no-untyped-call]
