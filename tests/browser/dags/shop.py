"""A shop's jobs and messages, for the browser to look at."""

from __future__ import annotations

from datetime import timedelta

from airflow.sdk import DAG

from airflow_pgmq.jobs import PeriodicJob
from airflow_pgmq.operators import PgmqPeriodicOperator, PgmqSendOperator

with DAG("shop_jobs", schedule="* * * * *", catchup=False, max_active_runs=1):
    PgmqPeriodicOperator(
        task_id="tick",
        namespace="shop",
        look_ahead=timedelta(minutes=10),
        jobs=[
            PeriodicJob(name="cache_warm", cron="* * * * *", queue_name="cache", message={"keys": "all"}),
            PeriodicJob(name="stock_sync", cron="*/5 * * * *", queue_name="stock", message={"full": False}),
            PeriodicJob(
                name="invoices", cron="0 6 * * 1-5", timezone="Europe/Berlin", queue_name="billing", version=3
            ),
            PeriodicJob(name="newsletter", cron="30 9 * * 2", timezone="America/New_York", queue_name="emails"),
            PeriodicJob(name="monthly_report", cron="0 0 1 * *", queue_name="reports"),
        ],
    )

with DAG("shop_orders", schedule="@once"):
    # What a message is made of must not matter to a page that shows it.
    PgmqSendOperator(
        task_id="send_hostile",
        queue_name="orders",
        message={
            "comment": "<script>window.hurt = 1</script><img src=x onerror='window.hurt = 1'>",
            "<b>bold</b>": "</pre><script>window.hurt = 1</script>",
            "order": 12345678901234567890,
            "token": "tok_live_secret",
        },
        headers={"trace": "<svg onload='window.hurt = 1'>"},
        dedup_key="order/<img src=x onerror='window.hurt = 1'>",
    )
    PgmqSendOperator(
        task_id="send_order",
        queue_name="orders",
        message={"order": 4711, "items": [{"sku": "tea-100", "count": 2}, {"sku": "cup-3", "count": 1}], "paid": True},
        dedup_key="order/4711",
    )
