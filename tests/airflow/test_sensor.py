"""`PgmqSensor` in its three modes, and what it leaves in the queue."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest
from airflow.sdk import DAG

from airflow_pgmq.compat import AirflowSensorTimeout
from airflow_pgmq.errors import InvalidMessage, PgmqError, QueueNotFound
from airflow_pgmq.hooks import PgmqHook
from airflow_pgmq.operators import PgmqSendOperator
from airflow_pgmq.sensors import PgmqSensor
from tests.fixtures.airflow import FinishedRun
from tests.fixtures.postgres import Database

try:
    from airflow.sdk.exceptions import TaskDeferred
except ImportError:  # Airflow before 3.2
    from airflow.exceptions import TaskDeferred


@pytest.fixture
def hook(pgmq_connection: str) -> PgmqHook:
    hook = PgmqHook()
    hook.create_queue("q")
    return hook


class Stored:
    """A task instance that only remembers what was stored, and what the queue held at that moment."""

    def __init__(self, hook: PgmqHook) -> None:
        self.hook = hook
        self.xcoms: dict[str, Any] = {}
        self.queue_length: int | None = None

    def xcom_push(self, key: str, value: Any) -> None:
        self.xcoms[key] = value
        self.queue_length = self.hook.metrics("q").queue_length


def archived(hook: PgmqHook) -> list[int]:
    with hook.get_conn() as conn:
        return [row[0] for row in conn.execute("SELECT msg_id FROM pgmq.a_q ORDER BY 1")]


@pytest.mark.parametrize(
    "how", [{"mode": "poke"}, {"mode": "reschedule"}, {"deferrable": True}], ids=lambda how: str(how)
)
def test_every_mode_waits_and_hands_on_the_same(
    hook: PgmqHook, run_dag: Callable[..., FinishedRun], how: dict[str, Any]
) -> None:
    hook.send("q", {"kind": "other"})
    with DAG("wait", schedule=None) as dag:
        # The message becomes visible while the sensor waits.
        send = PgmqSendOperator(
            task_id="send", queue_name="q", message={"kind": "order", "n": 1}, headers={"job": "j"}, delay=4
        )
        wait = PgmqSensor(
            task_id="wait",
            queue_name="q",
            condition={"kind": "order"},
            headers_condition={"job": "j"},
            poke_interval=0.2,
            poll_interval=0.2,
            timeout=60,
            **how,
        )
        send >> wait
    run = run_dag(dag)
    assert run.states == {"send": "success", "wait": "success"}
    (got,) = run.xcom("wait")
    assert got["msg_id"] == run.xcom("send")["msg_id"]
    assert got["message"] == {"kind": "order", "n": 1}
    assert set(got) == {"msg_id", "read_ct", "enqueued_at", "vt", "message", "headers"}
    assert archived(hook) == [got["msg_id"]]
    assert hook.metrics("q").queue_length == 1


@pytest.mark.parametrize("ack", ["archive", "delete", "none"])
def test_nothing_is_removed_before_its_result_is_stored(hook: PgmqHook, ack: Any) -> None:
    hook.send("q", "m")
    stored = Stored(hook)
    result = PgmqSensor(task_id="t", queue_name="q", ack=ack).execute({"ti": stored})
    assert stored.xcoms["return_value"] == result
    assert stored.queue_length == 1
    assert hook.metrics("q").queue_length == (1 if ack == "none" else 0)
    assert archived(hook) == ([1] if ack == "archive" else [])


def test_a_crash_before_the_result_is_stored_keeps_the_message(hook: PgmqHook) -> None:
    class Crash(Exception):
        pass

    class Crashing:
        def xcom_push(self, key: str, value: Any) -> None:
            raise Crash

    hook.send("q", "m")
    with pytest.raises(Crash):
        PgmqSensor(task_id="t", queue_name="q").execute({"ti": Crashing()})
    assert hook.metrics("q").queue_length == 1


def test_too_few_messages_are_given_back_at_once(hook: PgmqHook) -> None:
    hook.send_batch("q", [1, 2])
    sensor = PgmqSensor(task_id="t", queue_name="q", min_messages=3, max_messages=5)
    assert sensor.poke({"ti": Stored(hook)}) is False
    assert hook.metrics("q").queue_visible_length == 2
    hook.send_batch("q", [3, 4])
    done = sensor.poke({"ti": Stored(hook)})
    assert done
    assert [message["message"] for message in done.xcom_value] == [1, 2, 3, 4]


def test_expired_messages_are_archived_and_do_not_count(hook: PgmqHook) -> None:
    past = (datetime.now(timezone.utc) - timedelta(seconds=1)).isoformat()
    hook.send_batch("q", ["old", "new"], headers=[{"expires_at": past}, {"expires_at": "not a time"}])
    result = PgmqSensor(task_id="t", queue_name="q").execute({"ti": Stored(hook)})
    assert [message["message"] for message in result] == ["new"]
    assert archived(hook) == [1, 2]


def test_deferred_again_when_another_consumer_was_faster(hook: PgmqHook) -> None:
    sensor = PgmqSensor(task_id="t", queue_name="q", deferrable=True, timeout=600)
    deadline = datetime.now(timezone.utc) + timedelta(seconds=300)
    with pytest.raises(TaskDeferred) as deferred:
        sensor.execute_complete({"ti": Stored(hook)}, {"status": "ready"}, deadline.isoformat())
    assert deferred.value.kwargs == {"deadline": deadline.isoformat()}
    # What is left of the timeout, not the whole of it again.
    assert timedelta(seconds=200) < deferred.value.timeout <= timedelta(seconds=300)


def test_the_timeout_holds_after_a_deferral(hook: PgmqHook) -> None:
    sensor = PgmqSensor(task_id="t", queue_name="q", deferrable=True)
    past = datetime.now(timezone.utc) - timedelta(seconds=1)
    with pytest.raises(AirflowSensorTimeout):
        sensor.execute_complete({"ti": Stored(hook)}, {"status": "ready"}, past.isoformat())


def test_soft_fail_skips_after_the_timeout(hook: PgmqHook, run_dag: Callable[..., FinishedRun]) -> None:
    with DAG("soft", schedule=None) as dag:
        PgmqSensor(task_id="t", queue_name="q", poke_interval=0.1, timeout=0.2, soft_fail=True)
    assert run_dag(dag).states == {"t": "skipped"}


def test_a_missing_queue_fails_at_once(pgmq_connection: str) -> None:
    with pytest.raises(QueueNotFound):
        PgmqSensor(task_id="t", queue_name="nowhere", deferrable=True).execute({})
    with pytest.raises(PgmqError, match="gone"):
        PgmqSensor(task_id="t", queue_name="q").execute_complete({}, {"status": "error", "message": "gone"})


@pytest.mark.parametrize(
    "wrong", [{"min_messages": 0}, {"min_messages": 2, "max_messages": 1}, {"ack": "pop"}]
)
def test_bad_parameters_are_refused_at_dag_parse(wrong: dict[str, Any]) -> None:
    with pytest.raises(InvalidMessage):
        PgmqSensor(task_id="t", queue_name="q", **wrong)


def test_a_message_taken_over_by_another_reader_is_not_acked(hook: PgmqHook, database: Database) -> None:
    hook.send("q", "m")

    class Slow(Stored):
        def xcom_push(self, key: str, value: Any) -> None:
            with database.connect(autocommit=True) as other:
                other.execute("SELECT pgmq.set_vt('q', 1, 0)")
                other.execute("SELECT * FROM pgmq.read('q', 60, 1)")

    PgmqSensor(task_id="t", queue_name="q").execute({"ti": Slow(hook)})
    assert hook.metrics("q").queue_length == 1
