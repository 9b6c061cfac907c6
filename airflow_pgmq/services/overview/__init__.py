"""The read service for page, command line and metrics. It writes and locks no row."""

from __future__ import annotations

from airflow_pgmq.db.statements.inspection import Search
from airflow_pgmq.services.overview.calendars import calendar, calendars
from airflow_pgmq.services.overview.groups import groups
from airflow_pgmq.services.overview.job_details import details
from airflow_pgmq.services.overview.jobs import job, jobs
from airflow_pgmq.services.overview.messages import messages, peek, sent
from airflow_pgmq.services.overview.preview import preview
from airflow_pgmq.services.overview.queues import queue, queues

__all__ = [
    "Search",
    "calendar",
    "calendars",
    "details",
    "groups",
    "job",
    "jobs",
    "messages",
    "peek",
    "preview",
    "queue",
    "queues",
    "sent",
]
