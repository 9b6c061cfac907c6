"""`MessageQueueTrigger(scheme="pgmq", queue_name=…)` of the common.messaging provider.

common.messaging makes an object of this class whenever a Dag file imports it, so nothing is imported before a
trigger is asked for.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from airflow.providers.common.messaging.providers.base_provider import BaseMessageQueueProvider

if TYPE_CHECKING:
    from airflow.triggers.base import BaseEventTrigger

__all__ = ["PgmqMessageQueueProvider"]


class PgmqMessageQueueProvider(BaseMessageQueueProvider):
    """PGMQ among the message queues of Airflow; the trigger's own parameters are `PgmqEventTrigger`'s."""

    scheme = "pgmq"

    def trigger_class(self) -> type[BaseEventTrigger]:
        """What watches a queue."""
        from airflow_pgmq.triggers import PgmqEventTrigger

        return PgmqEventTrigger
