"""`PgmqSendOperator` in real Dag runs."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta, timezone

import pytest
from airflow.sdk import DAG, Asset

from airflow_pgmq.errors import InvalidArgument
from airflow_pgmq.hooks import PgmqHook
from airflow_pgmq.operators import PgmqSendOperator
from tests.fixtures.airflow import FinishedRun
from tests.fixtures.factories import execute
from tests.fixtures.postgres import Database

DAY = datetime(2026, 11, 20, tzinfo=timezone.utc)


@pytest.fixture
def hook(pgmq_connection: str) -> PgmqHook:
    hook = PgmqHook()
    hook.create_queue("q")
    return hook


def test_templates_headers_and_result(hook: PgmqHook, run_dag: Callable[..., FinishedRun]) -> None:
    with DAG("send", schedule=None, default_args={"queue_name": "q", "headers": {"team": "sales"}}) as dag:
        PgmqSendOperator(
            task_id="one",
            message={"day": "{{ ds }}"},
            dedup_key="report/{{ ds }}",
            delay="{{ 0 }}",
            group="g",
            outlets=[Asset(name="q", uri="pgmq://db/q")],
        )
    run = run_dag(dag, logical_date=DAY)
    assert run.states == {"one": "success"}
    (message,) = hook.read("q", max_messages=2)
    assert run.xcom("one") == {
        "status": "sent",
        "msg_id": message.msg_id,
        "dedup_key": "report/2026-11-20",
        "first_sent_at": None,
    }
    assert message.message == {"day": "2026-11-20"}
    assert message.headers == {
        "team": "sales",
        "x-pgmq-group": "g",
        "dedup_key": "report/2026-11-20",
        "source": {"dag_id": "send", "task_id": "one", "run_id": run.dag_run.run_id, "map_index": -1},
    }
    assert outlet_events(dag) == [{"msg_ids": [message.msg_id]}]


@pytest.mark.parametrize("ttl", ["{{ 60 * 60 }}", 3600, timedelta(hours=1)], ids=str)
def test_a_message_is_of_use_for_so_long(
    hook: PgmqHook, run_dag: Callable[..., FinishedRun], database: Database, ttl: str | int | timedelta
) -> None:
    with DAG("expiring", schedule=None) as dag:
        PgmqSendOperator(
            task_id="t", queue_name="q", message=["a", "b"], delay=DAY.replace(year=2036), ttl=ttl
        )
    assert run_dag(dag).states == {"t": "success"}
    rows = execute(database, "SELECT (headers ->> 'expires_at')::timestamptz - vt AS lives FROM pgmq.q_q")
    assert [row["lives"] for row in rows] == [timedelta(hours=1)] * 2


def test_what_is_no_ttl_is_told(hook: PgmqHook) -> None:
    with pytest.raises(InvalidArgument, match="A ttl is seconds or a timedelta, not 'soon'"):
        PgmqSendOperator(task_id="t", queue_name="q", message=1, ttl="soon").execute({})


def outlet_events(dag: DAG) -> list[dict[str, object]]:
    from airflow.models.asset import AssetEvent
    from airflow.utils.session import create_session
    from sqlalchemy import select

    with create_session() as session:
        events = session.scalars(select(AssetEvent).where(AssetEvent.source_dag_id == dag.dag_id))
        return [event.extra for event in events]


def test_a_run_repeated_after_its_message_was_consumed_sends_nothing(
    hook: PgmqHook, run_dag: Callable[..., FinishedRun]
) -> None:
    with DAG("repeat", schedule=None) as dag:
        send = PgmqSendOperator(
            task_id="send", queue_name="q", message="m", dedup_key="{{ ds }}", skip_on_duplicate=True
        )
        after = PgmqSendOperator(task_id="after", queue_name="q", message="after", dedup_key="after/{{ ds }}")
        send >> after
    assert run_dag(dag, logical_date=DAY).states == {"send": "success", "after": "success"}
    hook.archive("q", hook.read("q", max_messages=10))
    again = run_dag(dag, logical_date=DAY)
    assert again.states == {"send": "skipped", "after": "skipped"}
    assert hook.metrics("q").queue_length == 0


def test_many_messages_and_mapped_tasks(hook: PgmqHook, run_dag: Callable[..., FinishedRun]) -> None:
    with DAG("many", schedule=None) as dag:
        PgmqSendOperator(
            task_id="list", queue_name="q", message=[{"n": 1}, {"n": 2}], dedup_key=["a", "a"], delay=60
        )
        PgmqSendOperator.partial(
            task_id="mapped", queue_name="q", dedup_window=timedelta(hours=1)
        ).expand_kwargs([{"message": "x", "dedup_key": "x"}, {"message": "y", "dedup_key": "y"}])
    run = run_dag(dag)
    assert run.state == "success"
    assert [result["status"] for result in run.xcom("list")] == ["sent", "duplicate"]
    assert [run.xcom("mapped", map_index=index)["dedup_key"] for index in (0, 1)] == ["x", "y"]
    assert {message.message for message in hook.read("q", max_messages=10)} == {"x", "y"}


def test_one_key_for_many_messages_is_refused(hook: PgmqHook) -> None:
    operator = PgmqSendOperator(task_id="t", queue_name="q", message=[1, 2], dedup_key="k")
    with pytest.raises(InvalidArgument, match="give a list"):
        operator.execute({})
    assert hook.metrics("q").queue_length == 0
