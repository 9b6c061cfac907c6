"""Waiting in the triggerer: for deferred tasks, and for assets that messages update."""

from __future__ import annotations

from airflow_pgmq.triggers.event import PgmqEventTrigger
from airflow_pgmq.triggers.message import PgmqMessageTrigger

__all__ = ["PgmqEventTrigger", "PgmqMessageTrigger"]
