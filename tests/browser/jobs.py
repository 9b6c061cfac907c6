"""The shop's periodic jobs, which its Dag ticks."""

from __future__ import annotations

from airflow_pgmq.jobs import PeriodicJob

NAMESPACE = "shop"

JOBS = [
    PeriodicJob(name="cache_warm", cron="* * * * *", queue_name="cache", message={"keys": "all"}),
    PeriodicJob(name="stock_sync", cron="*/5 * * * *", queue_name="stock", message={"full": False}),
    PeriodicJob(
        name="invoices", cron="0 6 * * 1-5", timezone="Europe/Berlin", queue_name="billing", version=3
    ),
    PeriodicJob(name="newsletter", cron="30 9 * * 2", timezone="America/New_York", queue_name="emails"),
    PeriodicJob(name="monthly_report", cron="0 0 1 * *", queue_name="reports"),
]
