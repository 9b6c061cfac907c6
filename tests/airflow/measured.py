"""Work that is measured, in a process of its own because Airflow reads its configuration once."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from types import SimpleNamespace
from typing import Any

from airflow_pgmq.hooks import PgmqHook
from airflow_pgmq.jobs import PeriodicJob
from airflow_pgmq.operators import (
    PgmqAckOperator,
    PgmqConsumeOperator,
    PgmqMaintenanceOperator,
    PgmqPeriodicOperator,
    PgmqSendOperator,
    SqlToPgmqOperator,
)
from airflow_pgmq.triggers import PgmqMessageTrigger
from tests.postgres.watching import until


def context() -> Any:
    pushed: dict[str, Any] = {}
    ti = SimpleNamespace(
        dag_id="d",
        task_id="t",
        run_id="r",
        map_index=-1,
        xcom_push=lambda key, value: pushed.update({key: value}),
    )
    return {"ti": ti, "dag_run": SimpleNamespace(run_type="scheduled"), "outlet_events": {}}


def consume(message: Any) -> None:
    if message.message["n"] == "bad":
        raise ValueError("bad")


async def wait(hook: PgmqHook, queue_name: str, count: int) -> None:
    """A trigger is woken by messages that come while it waits; with a condition it has to look at them."""
    trigger = PgmqMessageTrigger(queue_name=queue_name, condition={"n": 1}, min_messages=count)
    waiting = asyncio.ensure_future(anext(trigger.run()))
    watcher = await hook.watcher()
    await until(lambda: list(watcher._waiters.matching()), "the trigger waits")
    await asyncio.to_thread(hook.send_batch, queue_name, [{"n": 1}] * count)
    event = await waiting
    assert event.payload == {"status": "ready"}
    await watcher.close()


def main() -> None:
    hook = PgmqHook()
    for name in ("orders", "waited", "several", "slots"):
        hook.create_queue(name)
    for _ in range(2):
        PgmqSendOperator(
            task_id="s", queue_name="orders", message=[{"n": 1}, {"n": 2}], dedup_key=["a", "b"]
        ).execute(context())
    SqlToPgmqOperator(task_id="q", queue_name="orders", sql="SELECT 3 AS n").execute(context())
    messages = hook.read("orders")
    PgmqAckOperator(
        task_id="a", queue_name="orders", messages=[message.as_dict() for message in messages]
    ).execute(context())
    hook.send("orders", {"n": "bad"})
    PgmqConsumeOperator(
        task_id="c", queue_name="orders", python_callable=consume, max_reads=1, fail_on="never"
    ).execute(context())
    job = PeriodicJob(name="job", cron="0 * * * *", queue_name="slots")
    PgmqPeriodicOperator(task_id="p", jobs=[job], namespace="shop.eu", look_ahead=timedelta(hours=1)).execute(
        context()
    )
    PgmqMaintenanceOperator(task_id="m").execute(context())
    hook.run_job_now("shop.eu", "job")
    asyncio.run(wait(hook, "waited", 1))
    asyncio.run(wait(hook, "several", 2))


if __name__ == "__main__":
    main()
