"""Queues that others made, under names that PGMQ takes and this package would not give."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any
from urllib.parse import quote, unquote

import pytest
from airflow.sdk import DAG, Asset

from airflow_pgmq.assets import queue_asset
from airflow_pgmq.errors import InvalidName
from airflow_pgmq.hooks import PgmqHook
from airflow_pgmq.jobs import PeriodicJob
from airflow_pgmq.notifications import PgmqNotifier
from airflow_pgmq.operators import (
    PgmqAckOperator,
    PgmqConsumeOperator,
    PgmqPeriodicOperator,
    PgmqQueueOperator,
    PgmqRequeueOperator,
    PgmqSendOperator,
    SqlToPgmqOperator,
)
from airflow_pgmq.sensors import PgmqSensor
from airflow_pgmq.services import overview
from tests.fixtures.airflow import FinishedRun
from tests.fixtures.factories import execute
from tests.fixtures.postgres import Database
from tests.fixtures.ui import act

NAMES = ["Unicode-里程", "UPPER", "with-dash", "dots.in.it", "100% sure", 'quo"te', "ÜBER", "{x}", "a?b#c"]


@pytest.fixture(params=NAMES)
def name(request: pytest.FixtureRequest, database: Database) -> str:
    for queue_name in (request.param, f"{request.param}_dlq"):
        execute(database, "SELECT pgmq.create(%s)", [queue_name])
    return str(request.param)


@pytest.fixture
def hook(pgmq_connection: str) -> PgmqHook:
    return PgmqHook()


def test_the_hook_does_all_but_make_it(hook: PgmqHook, name: str) -> None:
    with pytest.raises(InvalidName, match="lower-case letters"):
        hook.create_queue(f"{name}_2")
    hook.create_queue(name)
    assert hook.enable_notify(name) is False
    hook.send(name, {"a": 1}, headers={"h": 1})
    assert [each.status for each in hook.send_batch(name, [1, 2], dedup_keys=["k", "k"])] == [
        "sent",
        "duplicate",
    ]
    assert hook.guard_queue(name) is True
    queued = [hook.send(name, n, dedup_key="q", dedup_scope="queued").status for n in range(2)]
    assert queued == ["sent", "duplicate"]
    assert (
        hook.send(name, 3, dedup_key="q", dedup_scope="queued", on_duplicate="replace").status == "replaced"
    )
    assert hook.send(name, 9, dedup_key="c").status == "sent"
    assert len(hook.cancel(name, "c")) == 1
    hook.bind_topic("a.*", name)
    assert hook.send_topic("a.b", 4)[name].status == "sent"
    assert [each.queue_name for each in hook.topics()] == [name]
    assert hook.unbind_topic("a.*", name) is True
    metrics = hook.metrics(name)
    assert (metrics.queue_name, metrics.queue_length) == (name, 4)
    assert name in [each.queue_name for each in hook.metrics_all()]

    assert hook.wait(name, condition={"a": 1}, timeout=5) is not None
    (first,) = hook.read(name, condition={"a": 1})
    assert hook.extend(name, first, visibility_timeout=60) == [first.msg_id]
    assert hook.release(name, first) == [first.msg_id]
    assert hook.release(name, hook.read(name), untried=True) == [first.msg_id]
    (first,) = hook.read(name, headers_condition={"h": 1})
    assert hook.archive(name, first) == [first.msg_id]
    assert hook.get_messages(name, [first.msg_id])[0].message == {"a": 1}
    assert hook.requeue(name, source="archive", msg_ids=[first.msg_id])
    assert hook.delete(name, hook.read(name, max_messages=1))
    (dead,) = hook.read(name)
    assert hook.dead_letter(name, dead, reason="no")
    assert hook.metrics(f"{name}_dlq").queue_length == 1
    assert hook.requeue(name)
    assert hook.pop(name)
    hook.purge(name)
    hook.send(name, 5)
    with hook.consume(name) as messages:
        assert [each.message for each in messages] == [5]
    hook.send(name, 1)
    assert hook.purge(name) == 1
    hook.disable_notify(name)
    assert hook.drop_queue(name) is True
    assert hook.drop_queue(name) is False
    assert name not in [each.queue_name for each in hook.list_queues()]


def test_operators_sensors_and_jobs(
    hook: PgmqHook, name: str, run_dag: Callable[..., FinishedRun], database: Database
) -> None:
    job = PeriodicJob(name="a", cron="* * * * *", queue_name=name, catch_up_max_age=timedelta(minutes=5))
    with DAG("names", schedule=None, default_args={"queue_name": name}) as dag:
        send = PgmqSendOperator(task_id="send", message={"n": 1}, dedup_key="k", outlets=[queue_asset(name)])
        wait = PgmqSensor(task_id="wait", deferrable=True, ack="none", condition={"n": 1}, timeout=30)
        ack = PgmqAckOperator(task_id="ack", messages=wait.output)
        query = SqlToPgmqOperator(task_id="query", sql="SELECT 7 AS n, 'q' AS dedup_key")
        tick = PgmqPeriodicOperator(task_id="tick", jobs=[job])
        work = PgmqConsumeOperator(task_id="work", python_callable=fail, condition={"n": 7}, max_reads=1)
        back = PgmqRequeueOperator(task_id="back", trigger_rule="all_done")
        purge = PgmqQueueOperator(task_id="purge", action="purge", confirm=name, with_slots=True)
        send >> wait >> ack >> query >> tick >> work >> back >> purge
    run = run_dag(dag)
    assert {each for each, state in run.states.items() if state != "success"} <= {"work"}
    assert run.xcom("back")
    assert run.xcom("tick")["sent"] >= 10
    assert hook.metrics(name).queue_length == 0


def fail(message: Any) -> None:
    raise ValueError


def test_callbacks(hook: PgmqHook, name: str) -> None:
    PgmqNotifier(queue_name=name, message=1)({"run_id": "r"})
    assert hook.metrics(name).queue_length == 1


def test_assets_by_name_and_by_uri_are_the_same(hook: PgmqHook, name: str) -> None:
    asset = queue_asset(name)
    assert Asset(asset.uri).uri == asset.uri
    assert asset.uri.isascii()
    hook.send(name, 1)
    queue_name = unquote(asset.uri.removeprefix("pgmq://pgmq_default/"))
    assert hook.metrics(queue_name).queue_length == 1
    if "?" not in name:
        assert Asset(f"pgmq://pgmq_default/{name}").uri == asset.uri


@pytest.mark.parametrize("name", ["Unicode-里程"], indirect=True)
def test_dead_letters_need_a_queue_that_somebody_made(hook: PgmqHook, name: str, database: Database) -> None:
    hook.drop_queue(f"{name}_dlq")
    hook.send(name, 1)
    operator = PgmqConsumeOperator(task_id="t", queue_name=name, python_callable=fail, max_reads=1)
    with pytest.raises(InvalidName, match=r"name another one with dead_letter_queue=.* others made"):
        operator.execute({})
    assert hook.metrics(name).queue_length == 1
    hook.create_queue("dead")
    with pytest.raises(RuntimeError), hook.consume(name, max_reads=1, dead_letter_queue="dead"):
        raise RuntimeError
    assert hook.metrics("dead").queue_length == 1


def test_the_page(boss: Any, hook: PgmqHook, name: str) -> None:
    hook.send_batch(name, [1, 2])
    api = f"/pgmq/api/pgmq_default/queues/{quote(name, safe='')}"
    assert name in [each["queue_name"] for each in boss.get("/pgmq/api/pgmq_default/queues").json()["queues"]]
    assert boss.get(api).json()["queue_name"] == name
    assert len(boss.get(f"{api}/messages").json()["messages"]) == 2
    path = api.removeprefix("/pgmq/api/")
    assert act(boss, f"{path}/delete", {"msg_ids": [1]}).status_code == 200
    assert act(boss, f"{path}/purge", {"confirm": name}).status_code == 200
    assert boss.get(f"/pgmq/ui/queue/{quote(name, safe='')}").status_code == 200
    assert overview.queue(hook.client, name, "hour") is not None
