"""`PgmqSensor` in its three modes, and what it leaves in the queue."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from typing import Any

import airflow
import pytest
from airflow.sdk import DAG, task
from packaging.version import Version

from airflow_pgmq import compat
from airflow_pgmq.compat import AirflowSensorTimeout, AirflowSkipException, AirflowTaskTimeout
from airflow_pgmq.errors import InvalidArgument, PgmqError, QueueNotFound
from airflow_pgmq.hooks import PgmqHook
from airflow_pgmq.messages import Unreadable
from airflow_pgmq.operators import PgmqSendOperator
from airflow_pgmq.sensors import PgmqSensor
from tests.fixtures.airflow import FinishedRun
from tests.fixtures.factories import execute, queued
from tests.fixtures.patience import wait_until
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
    """A task instance that only remembers what was stored."""

    def __init__(self) -> None:
        self.xcoms: dict[str, Any] = {}
        self.start_date: datetime | None = None

    def xcom_push(self, key: str, value: Any) -> None:
        self.xcoms[key] = value


def succeed(sensor: PgmqSensor) -> None:
    """What Airflow does when it has stored the result and the success of a task."""
    for callback in sensor.on_success_callback:
        callback({})


def test_between_two_pokes_there_is_no_connection(hook: PgmqHook, database: Database) -> None:
    hook.close()
    sensor = PgmqSensor(task_id="t", queue_name="q")
    assert sensor.poke({}) is False
    look = "SELECT pid FROM pg_stat_activity WHERE application_name = 'airflow_pgmq' AND datname = %s"
    wait_until(lambda: not execute(database, look, [database.name]), "it is closed")


def test_looking_for_enough_messages_burns_no_read(hook: PgmqHook, database: Database) -> None:
    hook.send_batch("q", [1, 2])
    sensor = PgmqSensor(task_id="t", queue_name="q", min_messages=3)
    for _ in range(7):
        assert sensor.poke({}) is False
    assert {row["read_ct"] for row in queued(database, "q")} == {0}


def test_messages_that_were_too_few_after_all_are_given_back_untried(
    hook: PgmqHook, database: Database
) -> None:
    hook.send_batch("q", [1, 2])
    hook.send("q", 3, headers={"expires_at": "2026-01-01T00:00:00Z"})
    sensor = PgmqSensor(task_id="t", queue_name="q", min_messages=3)
    for _ in range(7):
        assert sensor.poke({}) is False
    rows = queued(database, "q")
    assert [(row["message"], row["read_ct"], row["headers"]) for row in rows] == [
        (1, 1, {"untried": 1}),
        (2, 1, {"untried": 1}),
    ]


def archived(hook: PgmqHook) -> list[int]:
    with hook.get_conn() as conn:
        return [row[0] for row in conn.execute("SELECT msg_id FROM pgmq.a_q ORDER BY 1")]


#: `dag.test()` of 3.1.0 tells the sensor the date of its first attempt as a text.
rescheduled = pytest.param(
    {"mode": "reschedule"},
    marks=pytest.mark.skipif(Version(airflow.__version__) < Version("3.1.1"), reason="Airflow's own fault"),
)


@pytest.mark.parametrize(
    "how", [{"mode": "poke"}, rescheduled, {"deferrable": True}], ids=lambda how: str(how)
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
            timeout=60,
            **how,
        )
        send >> wait
    run = run_dag(dag)
    assert run.states == {"send": "success", "wait": "success"}
    (got,) = run.xcom("wait")
    assert got["msg_id"] == run.xcom("send")["msg_id"]
    assert got["message"] == {"kind": "order", "n": 1}
    assert set(got) == {"msg_id", "read_ct", "enqueued_at", "vt", "message", "headers", "by_reference"}
    assert got["by_reference"] is False
    assert archived(hook) == [got["msg_id"]]
    assert hook.metrics("q").queue_length == 1


def test_in_order_the_next_message_of_a_group_waits_for_the_one_before(hook: PgmqHook) -> None:
    hook.send_batch("q", [1, 2], group="a")
    hook.send("q", 3, group="b")
    sensor = PgmqSensor(task_id="t", queue_name="q", min_messages=2, ordered=True, ack="none")
    held = hook.read("q", max_messages=2, ordered=True)
    assert [each.message for each in held] == [1, 3]
    assert sensor.poke({}) is False
    hook.archive("q", held[0])
    # One of two is there, and stays unread.
    assert sensor.poke({}) is False
    # What was tried is read alone, and the other one after it.
    hook.release("q", held[1])
    got: Any = sensor.poke({"ti": Stored()})
    assert sorted((each["message"], each["read_ct"]) for each in got.xcom_value) == [(2, 1), (3, 2)]


@pytest.mark.parametrize("how", [{"mode": "poke"}, {"deferrable": True}], ids=["poke", "deferrable"])
def test_in_order_it_waits_until_the_group_goes_on(
    hook: PgmqHook, run_dag: Callable[..., FinishedRun], how: dict[str, Any]
) -> None:
    hook.send_batch("q", [1, 2], group="a")
    # A worker that dies.
    hook.read("q", visibility_timeout=4, ordered=True)
    with DAG("wait", schedule=None) as dag:
        PgmqSensor(task_id="wait", queue_name="q", ordered=True, poke_interval=0.2, timeout=60, **how)
    run = run_dag(dag)
    assert run.states == {"wait": "success"}
    assert [(each["message"], each["read_ct"]) for each in run.xcom("wait")] == [(1, 2)]


@pytest.mark.parametrize("ack", ["archive", "delete", "none"])
def test_nothing_is_removed_before_its_result_is_stored(hook: PgmqHook, ack: Any) -> None:
    hook.send("q", "m")
    stored = Stored()
    sensor = PgmqSensor(task_id="t", queue_name="q", ack=ack)
    (got,) = sensor.execute({"ti": stored})
    assert got["message"] == "m"
    # Airflow stores what the task returns: another copy would be one that nothing refers to.
    assert "return_value" not in stored.xcoms
    assert hook.metrics("q").queue_length == 1
    succeed(sensor)
    assert hook.metrics("q").queue_length == (1 if ack == "none" else 0)
    assert archived(hook) == ([1] if ack == "archive" else [])


@pytest.mark.parametrize("how", [{}, {"deferrable": True}], ids=["poke", "deferrable"])
def test_a_task_that_fails_in_the_end_keeps_the_message(
    hook: PgmqHook, run_dag: Callable[..., FinishedRun], how: dict[str, Any]
) -> None:
    """For example because its result cannot be stored."""

    def fail(context: Any, result: Any) -> None:
        raise RuntimeError("the disk is full")

    hook.send("q", "m")
    with DAG("full", schedule=None) as dag:
        PgmqSensor(task_id="t", queue_name="q", post_execute=fail, **how)
    assert run_dag(dag).states == {"t": "failed"}
    assert hook.metrics("q").queue_length == 1


def test_callbacks_of_the_dag_author_run_too(hook: PgmqHook, run_dag: Callable[..., FinishedRun]) -> None:
    def remember(context: Any) -> None:
        hook.send("said", str(hook.metrics("q").queue_length))

    hook.create_queue("said")
    hook.send("q", "m")
    with DAG("called", schedule=None) as dag:
        PgmqSensor(task_id="t", queue_name="q", on_success_callback=remember)
    assert run_dag(dag).states == {"t": "success"}
    # The ack was first.
    assert [each.message for each in hook.read("said")] == ["0"]


@pytest.mark.parametrize(
    ("meanwhile", "said"),
    [
        (["ALTER TABLE pgmq.a_q RENAME TO elsewhere"], "not acked and will come back"),
        (
            ["SELECT pgmq.set_vt('q', 1, 0)", "SELECT * FROM pgmq.read('q', 60, 1)"],
            "messages [1] are no longer ours, not acked: read again, removed, or the queue was made again",
        ),
    ],
)
def test_an_ack_that_is_not_done_says_so(
    hook: PgmqHook,
    database: Database,
    run_dag: Callable[..., FinishedRun],
    capsys: pytest.CaptureFixture[str],
    meanwhile: list[str],
    said: str,
) -> None:
    def hinder(context: Any, result: Any) -> None:
        for statement in meanwhile:
            execute(database, statement)

    hook.send("q", "m")
    with DAG("hindered", schedule=None) as dag:
        PgmqSensor(task_id="t", queue_name="q", post_execute=hinder)
    assert run_dag(dag).states == {"t": "success"}
    assert said in capsys.readouterr().out
    assert hook.metrics("q").queue_length == 1


def test_mapped_sensors_ack_each_their_own(hook: PgmqHook, run_dag: Callable[..., FinishedRun]) -> None:
    hook.create_queue("p")
    hook.create_queue("more")
    hook.send("q", "of q")
    hook.send("p", "of p")
    hook.send_batch("more", ["first", "second"])
    with DAG("mapped", schedule=None) as dag:

        @task
        def ship(message: Any) -> Any:
            return message["message"]

        PgmqSensor.partial(task_id="wait").expand(queue_name=["q", "p"])
        both = PgmqSensor(task_id="both", queue_name="more", max_messages=2, deferrable=True)
        ship.expand(message=both.output)
    run = run_dag(dag)
    assert set(run.states.values()) == {"success"}
    assert {queue.queue_length for queue in hook.metrics_all()} == {0}


def test_too_few_messages_are_given_back_at_once(hook: PgmqHook) -> None:
    hook.send_batch("q", [1, 2])
    sensor = PgmqSensor(task_id="t", queue_name="q", min_messages=3, max_messages=5)
    assert sensor.poke({"ti": Stored()}) is False
    assert hook.metrics("q").queue_visible_length == 2
    hook.send_batch("q", [3, 4])
    done = sensor.poke({"ti": Stored()})
    assert done
    assert [message["message"] for message in done.xcom_value] == [1, 2, 3, 4]


def test_expired_messages_are_archived_and_do_not_count(hook: PgmqHook) -> None:
    past = (datetime.now(timezone.utc) - timedelta(seconds=1)).isoformat()
    hook.send_batch("q", ["old", "new"], headers=[{"expires_at": past}, {"expires_at": "not a time"}])
    sensor = PgmqSensor(task_id="t", queue_name="q")
    assert [message["message"] for message in sensor.execute({"ti": Stored()})] == ["new"]
    assert archived(hook) == [1]
    succeed(sensor)
    assert archived(hook) == [1, 2]


def test_deferred_again_when_another_consumer_was_faster(hook: PgmqHook) -> None:
    sensor = PgmqSensor(task_id="t", queue_name="q", deferrable=True, timeout=600)
    deadline = datetime.now(timezone.utc) + timedelta(seconds=300)
    with pytest.raises(TaskDeferred) as deferred:
        sensor.execute_complete({"ti": Stored()}, {"status": "ready"}, deadline.isoformat())
    assert deferred.value.kwargs == {"deadline": deadline.isoformat()}
    # What is left of the timeout, not the whole of it again.
    assert timedelta(seconds=200) < deferred.value.timeout <= timedelta(seconds=300)


def test_a_short_timeout_does_not_resume_the_task_too_early(hook: PgmqHook) -> None:
    sensor = PgmqSensor(task_id="t", queue_name="q", deferrable=True, timeout=2)
    with pytest.raises(TaskDeferred) as deferred:
        sensor.execute({"ti": Stored()})
    assert deferred.value.timeout.total_seconds() > deferred.value.trigger.shortest_wait
    assert (deferred.value.trigger.shortest_wait == 0) is compat.resumes_safely()


def test_the_timeout_holds_after_a_deferral(hook: PgmqHook) -> None:
    sensor = PgmqSensor(task_id="t", queue_name="q", deferrable=True)
    past = datetime.now(timezone.utc) - timedelta(seconds=1)
    with pytest.raises(AirflowSensorTimeout):
        sensor.execute_complete({"ti": Stored()}, {"status": "ready"}, past.isoformat())


def test_soft_fail_skips_after_the_timeout(hook: PgmqHook, run_dag: Callable[..., FinishedRun]) -> None:
    with DAG("soft", schedule=None) as dag:
        PgmqSensor(task_id="t", queue_name="q", poke_interval=0.1, timeout=0.2, soft_fail=True)
    assert run_dag(dag).states == {"t": "skipped"}


@pytest.mark.parametrize("ack", ["archive", "delete", "none"])
def test_what_is_too_large_for_xcom_is_handed_on_by_reference(hook: PgmqHook, ack: Any) -> None:
    hook.send_batch("q", ["x" * 600, {"small": 1}], headers=[{"job": "j"}, None])
    sensor = PgmqSensor(task_id="t", queue_name="q", max_messages=2, max_xcom_bytes=800, ack=ack)
    result = sensor.execute({"ti": Stored()})
    succeed(sensor)
    assert [(each["msg_id"], each["message"], each["by_reference"]) for each in result] == [
        (1, None, True),
        (2, None, True),
    ]
    # Whatever was asked for, they can be found.
    assert archived(hook) == ([] if ack == "none" else [1, 2])
    first, second = hook.get_messages("q", [each["msg_id"] for each in result])
    assert first.message == "x" * 600
    assert first.headers["job"] == "j"
    assert second.message == {"small": 1}


@pytest.mark.parametrize("deferrable", [False, True])
def test_what_airflow_cannot_carry_is_handed_on_by_reference_and_the_rest_whole(
    hook: PgmqHook, run_dag: Callable[..., FinishedRun], database: Database, deferrable: bool
) -> None:
    # No integer of 64 bits; what Python does not load at all; too deep for Airflow's processes.
    for text in ("1e99", '{"digits": 1e9999}', "[" * 201 + "]" * 201, '{"n": 1}'):
        execute(database, "SELECT pgmq.send('q', %s::jsonb)", [text])
    with DAG("carried", schedule=None) as dag:
        PgmqSensor(task_id="wait", queue_name="q", max_messages=4, ack="delete", deferrable=deferrable)
    run = run_dag(dag)
    assert run.states == {"wait": "success"}
    assert [(each["message"], each["by_reference"]) for each in run.xcom("wait")] == [
        (None, True),
        (None, True),
        (None, True),
        ({"n": 1}, False),
    ]
    # They can be found: archived, whatever was asked for.
    found = [each.message for each in hook.get_messages("q", [1, 2, 3])]
    assert found[0] == 10**99
    assert isinstance(found[1], Unreadable)
    assert hook.metrics("q").queue_length == 0


def test_the_limit_of_xcom_is_a_setting(hook: PgmqHook, monkeypatch: pytest.MonkeyPatch) -> None:
    hook.send("q", "x" * 600)
    monkeypatch.setenv("AIRFLOW__PGMQ__MAX_XCOM_BYTES", "500")
    (got,) = PgmqSensor(task_id="t", queue_name="q").execute({"ti": Stored()})
    assert got["by_reference"] is True


def test_messages_by_id_are_found_wherever_they_are(hook: PgmqHook) -> None:
    hook.send_batch("q", ["a", "b", "c"])
    hook.archive("q", 2)
    hook.delete("q", 3)
    assert [each.message for each in hook.get_messages("q", [2, 3, 1, 9])] == ["b", "a"]
    with pytest.raises(QueueNotFound):
        hook.get_messages("nowhere", [1])


@pytest.mark.parametrize("soft_fail", [False, True])
def test_a_trigger_that_times_out(hook: PgmqHook, soft_fail: bool) -> None:
    sensor = PgmqSensor(task_id="t", queue_name="q", deferrable=True, soft_fail=soft_fail)
    with pytest.raises(AirflowSkipException if soft_fail else AirflowSensorTimeout):
        sensor.resume_execution("__fail__", {"error": "Trigger timeout"}, {"ti": Stored()})


@pytest.mark.parametrize("soft_fail", [False, True])
def test_a_timeout_of_nothing(hook: PgmqHook, soft_fail: bool) -> None:
    sensor = PgmqSensor(task_id="t", queue_name="q", deferrable=True, soft_fail=soft_fail, timeout=0)
    with pytest.raises(AirflowSkipException if soft_fail else AirflowSensorTimeout):
        sensor.execute({"ti": Stored()})


def test_a_deferral_that_no_worker_began_keeps_its_timeout(hook: PgmqHook) -> None:
    stored = Stored()
    stored.start_date = datetime.now(timezone.utc) - timedelta(seconds=100)
    sensor = PgmqSensor(task_id="t", queue_name="q", deferrable=True, timeout=600)
    with pytest.raises(TaskDeferred) as deferred:
        sensor.execute_complete({"ti": stored}, {"status": "ready"})
    assert timedelta(seconds=400) < deferred.value.timeout <= timedelta(seconds=500)


def test_the_trigger_that_starts_without_a_worker_is_the_one_that_a_worker_defers_to(hook: PgmqHook) -> None:
    sensor = PgmqSensor(
        task_id="t",
        queue_name="q",
        condition={"a": [1, None]},
        min_messages=2,
        deferrable=True,
        start_from_trigger=True,
        timeout=60,
    )
    assert sensor.start_from_trigger
    arguments = sensor.start_trigger_args
    assert arguments is not None
    assert arguments.timeout == timedelta(seconds=60)
    assert arguments.next_method == "execute_complete"
    with pytest.raises(TaskDeferred) as deferred:
        sensor.execute({"ti": Stored()})
    path, kwargs = deferred.value.trigger.serialize()
    # When it began, no Dag file can say; and no first part of it may be reported late.
    assert kwargs.pop("deadline") == deferred.value.kwargs["deadline"]
    kwargs.pop("shortest_wait")
    assert (path, kwargs) == (arguments.trigger_cls, arguments.trigger_kwargs)
    assert json.loads(json.dumps(arguments.trigger_kwargs)) == arguments.trigger_kwargs


def test_only_a_deferrable_sensor_starts_from_its_trigger() -> None:
    sensor = PgmqSensor(task_id="t", queue_name="q", deferrable=False, start_from_trigger=True)
    assert not sensor.start_from_trigger
    assert not PgmqSensor(task_id="u", queue_name="q", deferrable=True).start_from_trigger


def test_a_missing_queue_fails_at_once(pgmq_connection: str) -> None:
    with pytest.raises(QueueNotFound):
        PgmqSensor(task_id="t", queue_name="nowhere", deferrable=True).execute({})
    with pytest.raises(PgmqError, match="gone"):
        PgmqSensor(task_id="t", queue_name="q").execute_complete({}, {"status": "error", "message": "gone"})


@pytest.mark.parametrize(
    "wrong", [{"min_messages": 0}, {"min_messages": 2, "max_messages": 1}, {"ack": "pop"}]
)
def test_bad_parameters_are_refused_at_dag_parse(wrong: dict[str, Any]) -> None:
    with pytest.raises(InvalidArgument):
        PgmqSensor(task_id="t", queue_name="q", **wrong)


def test_execution_timeout_ends_a_deferred_wait(hook: PgmqHook) -> None:
    """Airflow counts it again in each part of a deferred task, and not at all in between."""
    sensor = PgmqSensor(
        task_id="t", queue_name="q", deferrable=True, timeout=600, execution_timeout=timedelta(seconds=60)
    )
    with pytest.raises(TaskDeferred) as deferred:
        sensor.execute({"ti": Stored()})
    assert timedelta(seconds=50) < deferred.value.timeout <= timedelta(seconds=60)
    kwargs = deferred.value.kwargs
    assert kwargs["execution_deadline"] == deferred.value.trigger.deadline < kwargs["deadline"]
    # Another consumer was faster: what is left, not the whole of it again.
    with pytest.raises(TaskDeferred) as again:
        sensor.execute_complete({"ti": Stored()}, {"status": "ready"}, **kwargs)
    assert again.value.kwargs == kwargs
    past = (datetime.now(timezone.utc) - timedelta(seconds=1)).isoformat()
    with pytest.raises(AirflowTaskTimeout, match="within 60 s"):
        sensor.execute_complete({}, {"status": "timeout"}, kwargs["deadline"], past)
    # A message that came in the last moment is taken.
    hook.send("q", "m")
    assert sensor.execute_complete({"ti": Stored()}, {"status": "timeout"}, kwargs["deadline"], past)


@pytest.mark.parametrize("soft_fail", [False, True])
@pytest.mark.parametrize(("timeout", "is_first"), [(600, True), (30, False)])
def test_the_earlier_limit_gives_the_exception(
    hook: PgmqHook, timeout: int, is_first: bool, soft_fail: bool
) -> None:
    sensor = PgmqSensor(
        task_id="t",
        queue_name="q",
        deferrable=True,
        start_from_trigger=True,
        timeout=timeout,
        soft_fail=soft_fail,
        execution_timeout=timedelta(seconds=60),
    )
    assert sensor.start_trigger_args.timeout.total_seconds() == pytest.approx(min(timeout, 60))
    expected = AirflowTaskTimeout if is_first else AirflowSkipException if soft_fail else AirflowSensorTimeout
    with pytest.raises(expected) as told:
        sensor.resume_execution("__fail__", {"error": "Trigger timeout"}, {"ti": Stored()})
    # A log that follows causes would never end.
    assert told.value.__cause__ is not told.value


def test_a_trigger_that_failed_is_no_timeout(hook: PgmqHook) -> None:
    sensor = PgmqSensor(task_id="t", queue_name="q", deferrable=True, execution_timeout=timedelta(seconds=60))
    with pytest.raises(Exception, match="Trigger failure") as told:
        sensor.resume_execution("__fail__", {"error": "Trigger failure"}, {"ti": Stored()})
    assert not isinstance(told.value, (AirflowSensorTimeout, AirflowTaskTimeout))
