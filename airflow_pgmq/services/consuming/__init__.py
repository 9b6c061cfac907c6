"""Read, work, then ack: behind consuming tasks and `hook.consume`."""

from __future__ import annotations

from airflow_pgmq.services.consuming.kept_connection import KeptConnection
from airflow_pgmq.services.consuming.loop import Consumer, UserWork

__all__ = ["Consumer", "KeptConnection", "UserWork"]
