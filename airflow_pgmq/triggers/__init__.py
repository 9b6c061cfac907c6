"""Triggers: they wait for messages for deferred tasks, or to update assets."""

from __future__ import annotations

from airflow_pgmq.triggers.event import PgmqEventTrigger
from airflow_pgmq.triggers.message import PgmqMessageTrigger

__all__ = ["PgmqEventTrigger", "PgmqMessageTrigger"]
