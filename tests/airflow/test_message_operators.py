"""Tasks that ack, release, extend and requeue messages, and that manage queues."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest
from airflow.sdk import DAG, task

from airflow_pgmq.errors import InvalidArgument, MessageLost, QueueNotFound
from airflow_pgmq.hooks import PgmqHook
from airflow_pgmq.operators import (
    PgmqAckOperator,
    PgmqExtendOperator,
    PgmqQueueOperator,
    PgmqReleaseOperator,
    PgmqRequeueOperator,
)
from airflow_pgmq.sensors import PgmqSensor
from tests.fixtures import partman
from tests.fixtures.airflow import FinishedRun
from tests.fixtures.factories import execute, queued
from tests.fixtures.postgres import Database

Run = Callable[..., FinishedRun]


@pytest.fixture
def hook(pgmq_connection: str) -> PgmqHook:
    hook = PgmqHook()
    hook.create_queue("q")
    return hook


def archived(database: Database) -> list[int]:
    return [row["msg_id"] for row in execute(database, "SELECT msg_id FROM pgmq.a_q ORDER BY 1")]


def test_a_dag_acks_in_its_last_task(hook: PgmqHook, run_dag: Run, database: Database) -> None:
    hook.send_batch("q", ["a", "b"])
    with DAG("ack", schedule=None, default_args={"queue_name": "q"}) as dag:
        wait = PgmqSensor(task_id="wait", max_messages=5, ack="none", visibility_timeout=30)
        extend = PgmqExtendOperator(task_id="extend", messages=wait.output, visibility_timeout=600)

        @task
        def work(extended: list[int]) -> int:
            return len(PgmqHook().read("q", max_messages=5)) + len(extended)

        done = work(extend.output)
        done >> PgmqAckOperator(task_id="ack", messages=wait.output)
    run = run_dag(dag)
    assert run.state == "success"
    # Both were extended, and nobody else could read them.
    assert run.xcom("work") == 2
    assert run.xcom("ack") == [1, 2]
    assert archived(database) == [1, 2]


def test_a_dag_gives_back_what_it_could_not_do(hook: PgmqHook, run_dag: Run) -> None:
    hook.send("q", "a")
    with DAG("release", schedule=None, default_args={"queue_name": "q"}) as dag:
        wait = PgmqSensor(task_id="wait", ack="none")

        @task
        def work(messages: Any) -> None:
            raise ValueError

        release = PgmqReleaseOperator(
            task_id="release", messages=wait.output, delay="{{ 0 }}", trigger_rule="one_failed"
        )
        work(wait.output) >> release
    run = run_dag(dag)
    assert run.states == {"wait": "success", "work": "failed", "release": "success"}
    assert [message.read_ct for message in hook.read("q")] == [2]


def test_a_late_ack_is_refused(hook: PgmqHook, database: Database) -> None:
    hook.send("q", "a")
    (message,) = hook.read("q")
    hook.release("q", message)
    hook.read("q")
    late = PgmqAckOperator(task_id="t", queue_name="q", messages=[message.as_dict()])
    assert late.execute({}) == []
    late.fail_on_lost = True
    with pytest.raises(MessageLost, match=r"\[1\]"):
        late.execute({})
    # A bare id is not fenced.
    assert PgmqAckOperator(task_id="t", queue_name="q", messages=1, ack="delete").execute({}) == [1]
    assert archived(database) == []


@pytest.mark.parametrize("ack", ["archive", "delete"])
def test_a_task_whose_first_try_ended_after_its_ack_has_lost_nothing(
    hook: PgmqHook, run_dag: Run, ack: Any
) -> None:
    hook.send("q", "a")
    (message,) = hook.read("q")
    ended = []

    class Ends(PgmqAckOperator):
        def _apply(self, *args: Any) -> list[int]:
            done = super()._apply(*args)
            if not ended:
                ended.append(done)
                raise ConnectionError("after the commit")
            return done

    with DAG("again", schedule=None) as dag:
        Ends(
            task_id="t",
            queue_name="q",
            messages=[message.as_dict()],
            ack=ack,
            fail_on_lost=True,
            retries=1,
            retry_delay=timedelta(0),
        )
    assert run_dag(dag).xcom("t") == [1]
    assert ended == [[1]]


def test_nothing_and_texts_instead_of_messages(hook: PgmqHook) -> None:
    assert PgmqAckOperator(task_id="t", queue_name="q", messages=None).execute({}) == []
    with pytest.raises(InvalidArgument, match="output"):
        PgmqAckOperator(task_id="t", queue_name="q", messages="[{'msg_id': 1}]").execute({})


@pytest.fixture
def dead(hook: PgmqHook) -> PgmqHook:
    """Three dead letters of the queue `q` and one of another queue, in a shared dead letter queue."""
    for queue_name in ("other", "q_dlq"):
        hook.create_queue(queue_name)
    hook.send_batch("q", [{"n": n} for n in range(3)], headers={"team": "sales"}, dedup_keys=["a", "b", "c"])
    hook.dead_letter("q", hook.read("q", max_messages=3), "no")
    hook.send("other", {"n": 9})
    hook.dead_letter("other", hook.read("other"), "no", dead_letter_queue="q_dlq")
    return hook


def test_dead_letters_come_back_as_they_were(dead: PgmqHook, run_dag: Run, database: Database) -> None:
    execute(
        database,
        "UPDATE pgmq.q_q_dlq"
        " SET headers = jsonb_set(headers, '{dead_letter,enqueued_at}', '\"2026-01-01T00:00:00Z\"')",
    )
    with DAG("requeue", schedule=None) as dag:
        PgmqRequeueOperator(task_id="t", queue_name="q", delay=60)
    assert run_dag(dag).xcom("t") == {"1": 4, "2": 5, "3": 6}
    rows = queued(database, "q")
    assert [row["message"] for row in rows] == [{"n": 0}, {"n": 1}, {"n": 2}]
    assert {row["read_ct"] for row in rows} == {0}
    assert rows[0]["headers"] == {"team": "sales", "dedup_key": "a"}
    assert rows[0]["enqueued_at"] == datetime(2026, 1, 1, tzinfo=timezone.utc)
    assert rows[0]["vt"] > datetime.now(timezone.utc) + timedelta(seconds=30)
    # The other queue's dead letter is not ours.
    assert [row["message"] for row in queued(database, "q_dlq")] == [{"n": 9}]
    assert dead.requeue("other", dead_letter_queue="q_dlq") == {4: 2}


@pytest.mark.parametrize(
    ("which", "numbers"),
    [
        ({"msg_ids": [2]}, [1]),
        ({"condition": {"n": 2}}, [2]),
        ({"headers_condition": {"dedup_key": "a"}}, [0]),
        ({"max_messages": 2}, [0, 1]),
        ({"condition": {"n": 7}}, []),
    ],
    ids=str,
)
def test_some_dead_letters(
    dead: PgmqHook, database: Database, which: dict[str, Any], numbers: list[int]
) -> None:
    moved = PgmqRequeueOperator(task_id="t", queue_name="q", **which).execute({})
    assert len(moved) == len(numbers)
    assert [row["message"]["n"] for row in queued(database, "q")] == numbers
    assert len(queued(database, "q_dlq")) == 4 - len(numbers)


def test_a_dead_letter_whose_key_is_queued_again_stays(dead: PgmqHook, database: Database) -> None:
    dead.send("q", "new", dedup_key="b", dedup_scope="queued")
    assert len(dead.requeue("q")) == 2
    assert [row["headers"]["dedup_key"] for row in queued(database, "q_dlq")[:1]] == ["b"]
    assert len(queued(database, "q")) == 3


def test_from_the_archive(hook: PgmqHook, database: Database) -> None:
    hook.send_batch("q", [{"n": 1}, {"n": 2}], headers={"x": 1})
    hook.archive("q", hook.read("q", max_messages=2))
    requeue = PgmqRequeueOperator(task_id="t", queue_name="q", source="archive", condition={"n": 2})
    assert requeue.execute({}) == {"2": 3}
    assert [row["headers"] for row in queued(database, "q")] == [{"x": 1}]
    assert archived(database) == [1]
    with pytest.raises(InvalidArgument, match="say which"):
        PgmqRequeueOperator(task_id="t", queue_name="q", source="archive").execute({})


def test_requeue_names_what_is_missing(hook: PgmqHook) -> None:
    with pytest.raises(QueueNotFound, match="q_dlq"):
        hook.requeue("q")
    with pytest.raises(InvalidArgument):
        PgmqRequeueOperator(task_id="t", queue_name="q", source="trash")  # type: ignore[arg-type]
    with pytest.raises(InvalidArgument, match="belongs to source='dead_letters'"):
        PgmqRequeueOperator(task_id="t", queue_name="q", source="archive", dead_letter_queue="q_dlq")
    with pytest.raises(InvalidArgument, match="not 'trash'"):
        hook.requeue("q", source="trash")  # type: ignore[arg-type]


def test_queues_are_made_bound_purged_and_dropped(hook: PgmqHook, run_dag: Run) -> None:
    with DAG("queues", schedule=None, default_args={"queue_name": "new"}) as dag:
        create = PgmqQueueOperator(task_id="create", topics=["orders.#"])
        unbind = PgmqQueueOperator(task_id="unbind", action="unbind", topics=["orders.#"])
        bind = PgmqQueueOperator(task_id="bind", action="bind", topics=["invoices.*"])

        @task
        def send() -> int:
            hook = PgmqHook()
            assert not hook.enable_notify("new")
            return sum(len(hook.send_topic(key, 1)) for key in ("orders.new", "invoices.new"))

        purge = PgmqQueueOperator(task_id="purge", action="purge", confirm="new")
        drop = PgmqQueueOperator(task_id="drop", action="drop", confirm="new")
        create >> unbind >> bind >> send() >> purge >> drop
    run = run_dag(dag)
    assert run.state == "success"
    assert run.xcom("send") == 1
    assert run.xcom("purge")["purged"] == 1
    assert run.xcom("drop")["dropped"] is True
    assert [queue.queue_name for queue in hook.list_queues()] == ["q"]


def test_a_queue_in_partitions(hook: PgmqHook, database: Database, run_dag: Run) -> None:
    partman.install(database)
    with DAG("parts", schedule=None) as dag:
        PgmqQueueOperator(task_id="create", queue_name="parts", partition_interval="1 day", premake=2)
    assert run_dag(dag).state == "success"
    assert {row["premake"] for row in partman.parents(database).values()} == {2}


def test_destroying_wants_the_name_twice(hook: PgmqHook, run_dag: Run) -> None:
    with pytest.raises(InvalidArgument, match="repeat its name"):
        PgmqQueueOperator(task_id="t", queue_name="q", action="drop")
    with DAG("drop", schedule=None) as dag:
        PgmqQueueOperator(task_id="t", queue_name="{{ 'q' }}", action="drop", confirm="r")
    assert run_dag(dag).states == {"t": "failed"}
    assert [queue.queue_name for queue in hook.list_queues()] == ["q"]


@pytest.mark.parametrize("wrong", [{"action": "burn"}, {"action": "bind"}], ids=str)
def test_bad_actions_are_refused_at_dag_parse(wrong: dict[str, Any]) -> None:
    with pytest.raises(InvalidArgument):
        PgmqQueueOperator(task_id="t", queue_name="q", **wrong)
