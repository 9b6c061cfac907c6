"""The read service: one source for page, command line and metrics. Nothing in it writes or locks a row."""

from __future__ import annotations

from airflow_pgmq.overview.jobs import job, jobs
from airflow_pgmq.overview.messages import messages, sent
from airflow_pgmq.overview.queues import queue, queues
from airflow_pgmq.statements.showing import Search

__all__ = ["Search", "job", "jobs", "messages", "queue", "queues", "sent"]
