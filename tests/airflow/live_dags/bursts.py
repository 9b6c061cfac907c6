"""A watcher like those of other providers: an event for each message, which it deletes at once."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

from airflow.triggers.base import BaseEventTrigger, TriggerEvent

from airflow_pgmq.db.statements import reading
from airflow_pgmq.hooks import PgmqHook


class BurstTrigger(BaseEventTrigger):
    """Reads and archives what is there, then yields it message by message."""

    def __init__(self, queue_name: str) -> None:
        super().__init__()
        self.queue_name = queue_name

    def serialize(self) -> tuple[str, dict[str, Any]]:
        return f"{__name__}.{type(self).__name__}", {"queue_name": self.queue_name}

    async def run(self) -> AsyncIterator[TriggerEvent]:
        watcher = await PgmqHook().watcher()
        while True:
            await watcher.wait(self.queue_name)
            messages = await watcher.run(
                reading.read(self.queue_name, max_messages=100, visibility_timeout=60)
            )
            await watcher.run(reading.archive(self.queue_name, messages))
            for message in messages:
                yield TriggerEvent({"messages": [message.as_dict()]})
            await asyncio.sleep(0)
