"""`MessageQueueTrigger(scheme="pgmq", queue_name=…)` of the common.messaging provider.

common.messaging creates an object of this class whenever a Dag file imports it, so this module imports the
trigger only when it is needed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from airflow.providers.common.messaging.providers.base_provider import BaseMessageQueueProvider

if TYPE_CHECKING:
    from airflow.triggers.base import BaseEventTrigger

__all__ = ["PgmqMessageQueueProvider"]


class PgmqMessageQueueProvider(BaseMessageQueueProvider):
    """PGMQ as one of Airflow's message queues; the trigger has the parameters of `PgmqEventTrigger`."""

    scheme = "pgmq"

    def trigger_class(self) -> type[BaseEventTrigger]:
        """The trigger that watches a queue."""
        from airflow_pgmq.triggers import PgmqEventTrigger

        return PgmqEventTrigger
