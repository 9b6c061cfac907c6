"""Periodic jobs, as users import them: `from airflow_pgmq.jobs import PeriodicJob`."""

from __future__ import annotations

from airflow_pgmq.core.jobs import PeriodicJob

__all__ = ["PeriodicJob"]
