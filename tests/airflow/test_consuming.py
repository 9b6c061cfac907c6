"""`@task.pgmq` in real Dag runs, and `hook.consume`."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from airflow.sdk import DAG, task

from airflow_pgmq.compat import AirflowFailException, AirflowSkipException
from airflow_pgmq.errors import InvalidArgument, MessagesFailed, QueueNotFound
from airflow_pgmq.hooks import PgmqHook
from airflow_pgmq.messages import Message, Outcome
from airflow_pgmq.operators import PgmqConsumeOperator
from tests.fixtures.airflow import FinishedRun
from tests.fixtures.factories import execute, queued
from tests.fixtures.postgres import Database

Run = Callable[..., FinishedRun]


@pytest.fixture
def hook(pgmq_connection: str, database: Database) -> PgmqHook:
    hook = PgmqHook()
    hook.create_queue("q")
    execute(database, "CREATE TABLE seen (line int GENERATED ALWAYS AS IDENTITY, what jsonb)")
    return hook


def note(what: Any) -> None:
    """What a task saw, where the test can read it."""
    with PgmqHook().get_conn() as conn:
        conn.execute("INSERT INTO seen (what) VALUES (%s)", [json.dumps(what)])


def seen(database: Database) -> list[Any]:
    return [row["what"] for row in execute(database, "SELECT what FROM seen ORDER BY line")]


def without_time(counts: dict[str, Any]) -> dict[str, Any]:
    assert counts.pop("seconds") >= 0
    return {name: count for name, count in counts.items() if count}


def test_one_message_at_a_time_with_arguments_and_context(
    hook: PgmqHook, run_dag: Run, database: Database
) -> None:
    hook.send_batch("q", [{"n": 1}, {"n": 2}])
    with DAG("one", schedule=None) as dag:

        @task.pgmq(queue_name="q")
        def handle(message: Message, region: str, ti: Any = None, *, rate: float = 1.0) -> None:
            note([message.message["n"], region, rate, ti.task_id, message.read_ct])

        handle("eu", rate=2.5)
    run = run_dag(dag)
    assert run.states == {"handle": "success"}
    assert seen(database) == [[1, "eu", 2.5, "handle", 1], [2, "eu", 2.5, "handle", 1]]
    assert without_time(run.xcom("handle")) == {"read": 2, "acked": 2, "batches": 2}
    assert hook.metrics("q").queue_length == 0


@pytest.mark.parametrize("transactional", [False, True])
def test_groups_are_kept_in_order(
    hook: PgmqHook, run_dag: Run, database: Database, transactional: bool
) -> None:
    for group in ("a", "b"):
        hook.send_batch("q", [f"{group}{n}" for n in range(5)], group=group)
    with DAG("ordered", schedule=None) as dag:

        @task.pgmq(queue_name="q", ordered=True, transactional=transactional)
        def handle(message: Message, conn: Any = None) -> Outcome | None:
            note(message.message)
            # Its group waits, and the other one goes on.
            return Outcome.retry(3600) if message.message == "a2" else None

        handle()
    run = run_dag(dag)
    assert without_time(run.xcom("handle"))["acked"] == 7
    assert [each for each in seen(database) if each[0] == "a"] == ["a0", "a1", "a2"]
    assert [each for each in seen(database) if each[0] == "b"] == [f"b{n}" for n in range(5)]


def test_a_list_with_outcomes_and_kwargs(hook: PgmqHook, run_dag: Run, database: Database) -> None:
    hook.send_batch("q", ["good", "later", "bad"])
    with DAG("many", schedule=None, default_args={"queue_name": "q"}) as dag:

        @task.pgmq(batch_size=10)
        def handle(messages: list[Message], **context: Any) -> dict[int, Outcome]:
            note([context["run_id"], len(messages)])
            by_payload = {"later": Outcome.retry(60), "bad": Outcome.dead("unwanted")}
            return {m.msg_id: by_payload[m.message] for m in messages if m.message in by_payload}

        handle()
    run = run_dag(dag)
    # Outcomes are decisions, not failures.
    assert run.states == {"handle": "success"}
    assert seen(database) == [[run.dag_run.run_id, 3]]
    counts = without_time(run.xcom("handle"))
    assert counts == {"read": 3, "acked": 1, "retried": 1, "dead": 1, "batches": 1}
    assert [row["message"] for row in queued(database, "q_dlq")] == ["bad"]


def test_mapped_tasks_and_downstream(hook: PgmqHook, run_dag: Run, database: Database) -> None:
    hook.send_batch("q", [{"region": "eu"}, {"region": "us"}])
    with DAG("mapped", schedule=None) as dag:

        @task.pgmq(queue_name="q", max_batches=1)
        def handle(message: Message, region: str) -> None:
            note([region, message.message["region"]])

        @task
        def total(counts: list[dict[str, Any]]) -> int:
            return sum(each["acked"] for each in counts)

        total(handle.override(task_id="other").expand(region=["a", "b"]))
    run = run_dag(dag)
    assert run.states == {"other[0]": "success", "other[1]": "success", "total": "success"}
    assert run.xcom("total") == 2
    # Which instance runs first is Airflow's affair.
    regions, payloads = zip(*seen(database), strict=True)
    assert (sorted(regions), sorted(payloads)) == (["a", "b"], ["eu", "us"])


def test_conditions_are_templated(hook: PgmqHook, run_dag: Run, database: Database) -> None:
    hook.send_batch("q", [{"dag": "templated"}, {"dag": "other"}])
    with DAG("templated", schedule=None) as dag:

        @task.pgmq(queue_name="{{ 'q' }}", condition={"dag": "{{ dag.dag_id }}"}, dead_letter_queue="bin")
        def handle(message: Message) -> None:
            note(message.message["dag"])

        handle()
    assert run_dag(dag).state == "success"
    assert seen(database) == ["templated"]


def test_transactional_work(hook: PgmqHook, run_dag: Run, database: Database) -> None:
    hook.send_batch("q", [1, 2, 3])
    execute(database, "CREATE TABLE effects (n int)")
    with DAG("transactional", schedule=None) as dag:

        @task.pgmq(queue_name="q", transactional=True, fail_on="never", backoff=0, max_reads=2)
        def handle(message: Message, conn: Any) -> None:
            conn.execute("INSERT INTO effects VALUES (%s)", [message.message])
            if message.message == 2:
                raise ValueError("after the write")

        handle()
    run = run_dag(dag)
    assert run.states == {"handle": "success"}
    assert without_time(run.xcom("handle"))["failed"] == 2
    assert [row["n"] for row in execute(database, "SELECT n FROM effects ORDER BY 1")] == [1, 3]


@pytest.mark.parametrize(
    ("fail_on", "good", "max_reads", "state"),
    [
        ("any", True, 5, "failed"),
        ("all", True, 5, "success"),
        ("all", False, 5, "failed"),
        ("dead", True, 5, "success"),
        ("dead", True, 1, "failed"),
        ("never", False, 1, "success"),
    ],
)
def test_what_fails_the_task(
    hook: PgmqHook, run_dag: Run, fail_on: Any, good: bool, max_reads: int, state: str
) -> None:
    hook.send_batch("q", ["bad"] + ["good"] * good)
    with DAG("fails", schedule=None) as dag:

        @task.pgmq(queue_name="q", fail_on=fail_on, max_reads=max_reads)
        def handle(message: Message) -> None:
            if message.message == "bad":
                raise ValueError("no")

        handle()
    run = run_dag(dag)
    assert run.states == {"handle": state}
    # The counts are there either way.
    assert run.xcom("handle")["failed"] == 1
    assert run.xcom("handle")["acked"] == int(good)


@pytest.mark.parametrize(
    ("exception", "state"), [(AirflowSkipException, "skipped"), (AirflowFailException, "failed")]
)
def test_airflows_own_exceptions_end_the_task_their_way(
    hook: PgmqHook, run_dag: Run, database: Database, exception: Any, state: str
) -> None:
    hook.send_batch("q", [1, 2])
    with DAG("ends", schedule=None) as dag:

        @task.pgmq(queue_name="q", retries=3)
        def handle(message: Message) -> None:
            note(message.message)
            raise exception("enough")

        handle()
    assert run_dag(dag).states == {"handle": state}
    assert seen(database) == [1]
    assert hook.metrics("q").queue_visible_length == 2


def test_the_operator_takes_a_plain_function(hook: PgmqHook, run_dag: Run, database: Database) -> None:
    hook.send("q", "m")
    with DAG("plain", schedule=None) as dag:
        PgmqConsumeOperator(
            task_id="t",
            queue_name="q",
            python_callable=take,
            op_kwargs={"word": "{{ task.task_id }}"},
            ack="delete",
        )
    assert run_dag(dag).state == "success"
    assert seen(database) == [["m", "t"]]


def take(message: Message, word: str) -> None:
    note([message.message, word])


def test_the_errors_name_the_cause(hook: PgmqHook) -> None:
    def fail(message: Message) -> None:
        raise ValueError("no")

    hook.send("q", "m")
    with pytest.raises(MessagesFailed, match="1 of 1 messages of queue 'q' failed") as failed:
        PgmqConsumeOperator(task_id="t", queue_name="q", python_callable=fail, do_xcom_push=False).execute({})
    assert isinstance(failed.value.__cause__, ValueError)
    with pytest.raises(QueueNotFound):
        PgmqConsumeOperator(task_id="t", queue_name="nowhere", python_callable=fail).execute({})


def no_message(row: Any) -> None: ...
def both(message: Any, messages: Any) -> None: ...
def starred(message: Any, *rest: Any) -> None: ...
async def coroutine(message: Any) -> None: ...


@pytest.mark.parametrize("function", [no_message, both, starred, coroutine], ids=lambda each: each.__name__)
def test_functions_that_cannot_be_called_are_refused_at_dag_parse(function: Any) -> None:
    with pytest.raises(InvalidArgument, match=function.__name__):
        PgmqConsumeOperator(task_id="t", queue_name="q", python_callable=function)


@pytest.mark.parametrize(
    "wrong",
    [
        {"transactional": True},
        {"batch_size": 0},
        {"batch_size": 2, "max_reads": 1},
        {"visibility_timeout": 0},
        {"visibility_timeout": 1.5},
        {"ack": "pop"},
        {"fail_on": "some"},
        {"backoff": 10, "max_backoff": 1},
    ],
    ids=str,
)
def test_bad_parameters_are_refused_at_dag_parse(wrong: dict[str, Any]) -> None:
    with pytest.raises(InvalidArgument):
        PgmqConsumeOperator(task_id="t", queue_name="q", python_callable=take, **wrong)


def test_missing_arguments_are_refused_at_dag_parse() -> None:
    with DAG("parse", schedule=None):

        @task.pgmq(queue_name="q")
        def handle(message: Message, region: str) -> None: ...

        with pytest.raises(TypeError, match="region"):
            handle()


def test_the_hook_consumes_in_plain_python(hook: PgmqHook, database: Database) -> None:
    hook.send_batch("q", [1, 2])
    with hook.consume("q", batch_size=5) as messages:
        assert [message.message for message in messages] == [1, 2]
        assert hook.metrics("q").queue_length == 2
    assert hook.metrics("q").queue_length == 0
    with hook.consume("q") as messages:
        assert messages == []


def test_the_hook_acks_in_the_callers_transaction(hook: PgmqHook, database: Database) -> None:
    hook.send("q", {"n": 1})
    with hook.get_conn() as conn, hook.consume("q", conn=conn) as messages:
        conn.execute("INSERT INTO seen (what) VALUES ('1')")
        assert len(messages) == 1
    assert seen(database) == [1]
    assert hook.metrics("q").queue_length == 0


def test_a_drain_that_read_nothing_says_why(
    hook: PgmqHook, run_dag: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    hook.send("q", {"n": 1})
    with DAG("nothing", schedule=None) as dag:

        @task.pgmq(queue_name="q", condition={"n": 2})
        def handle(message: Message) -> None:
            note(message.msg_id)

        handle()
    assert run_dag(dag).states == {"handle": "success"}
    assert "Messages of queue q are visible, but none matches the condition." in capsys.readouterr().out
    hook.pause_queue("q", reason="the vendor is down")
    assert run_dag(dag).states == {"handle": "success"}
    assert "the vendor is down: nothing is read from it." in capsys.readouterr().out
