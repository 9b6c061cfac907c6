"""Periodic jobs, as users import them: `from airflow_pgmq.jobs import PeriodicJob`."""

from __future__ import annotations

from airflow_pgmq.core.jobs import PeriodicJob
from airflow_pgmq.core.schedule.definitions import At, Cron, Every, RRule
from airflow_pgmq.core.schedule.excluding import Blackout, Calendar, Holidays

__all__ = ["At", "Blackout", "Calendar", "Cron", "Every", "Holidays", "PeriodicJob", "RRule"]
