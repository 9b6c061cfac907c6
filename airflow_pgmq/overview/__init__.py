"""The read service: one source for page, command line and metrics. Nothing in it writes or locks a row."""

from __future__ import annotations

from airflow_pgmq.overview.queues import queue, queues

__all__ = ["queue", "queues"]
