"""A shop's jobs and messages, for the browser to look at."""

from __future__ import annotations

from datetime import timedelta

from airflow.sdk import DAG

from airflow_pgmq.operators import PgmqPeriodicOperator, PgmqSendOperator
from tests.browser.jobs import JOBS, NAMESPACE

with DAG("shop_jobs", schedule="* * * * *", catchup=False, max_active_runs=1):
    PgmqPeriodicOperator(task_id="tick", namespace=NAMESPACE, look_ahead=timedelta(minutes=10), jobs=JOBS)

with DAG("shop_orders", schedule="@once", default_args={"retries": 2, "retry_delay": timedelta(seconds=1)}):
    # The page must show any content of a message.
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
        message={
            "order": 4711,
            "items": [{"sku": "tea-100", "count": 2}, {"sku": "cup-3", "count": 1}],
            "paid": True,
        },
        dedup_key="order/4711",
    )
