"""Values that are not JSON work everywhere: operators, templates, callbacks, conditions, Dag files."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from datetime import date, datetime, timedelta, timezone
from decimal import Decimal
from enum import Enum
from typing import Any
from uuid import UUID

import pytest
from airflow.sdk import DAG, task
from pydantic import BaseModel

from airflow_pgmq.errors import InvalidArgument, InvalidJobs, InvalidMessage
from airflow_pgmq.hooks import PgmqHook
from airflow_pgmq.jobs import PeriodicJob
from airflow_pgmq.notifications import PgmqNotifier
from airflow_pgmq.operators import PgmqConsumeOperator, PgmqPeriodicOperator, PgmqSendOperator
from airflow_pgmq.sensors import PgmqSensor
from airflow_pgmq.triggers import PgmqEventTrigger, PgmqMessageTrigger
from tests.fixtures.airflow import FinishedRun
from tests.fixtures.factories import queued
from tests.fixtures.postgres import Database

DAY = datetime(2026, 11, 20, tzinfo=timezone.utc)
ID = UUID("0198c0de-0000-7000-8000-000000000001")


class State(Enum):
    NEW = "new"


@dataclasses.dataclass
class Line:
    sku: str
    price: Decimal


class Order(BaseModel):
    id: UUID
    at: datetime


VALUES: dict[str, Any] = {
    "id": ID,
    "at": DAY,
    "on": date(2026, 11, 20),
    "sum": Decimal("1.10"),
    "state": State.NEW,
    "lines": [Line("a", Decimal("1.5"))],
    "order": Order(id=ID, at=DAY),
}
PLAIN = {
    "id": str(ID),
    "at": "2026-11-20T00:00:00+00:00",
    "on": "2026-11-20",
    "sum": "1.10",
    "state": "new",
    "lines": [{"sku": "a", "price": "1.5"}],
    "order": {"id": str(ID), "at": "2026-11-20T00:00:00Z"},
}


@pytest.fixture
def hook(pgmq_connection: str) -> PgmqHook:
    hook = PgmqHook()
    hook.create_queue("q")
    return hook


def test_the_hook_takes_them_in_messages_headers_topics_and_conditions(
    hook: PgmqHook, database: Database
) -> None:
    hook.bind_topic("a.*", "q")
    hook.send("q", VALUES, headers=VALUES)
    hook.send_batch("q", [VALUES, VALUES], headers=[VALUES, None])
    assert len(hook.send_topic("a.b", VALUES, headers=VALUES)) == 1
    rows = queued(database, "q")
    assert [row["message"] for row in rows] == [PLAIN] * 4
    assert [row["headers"] for row in rows] == [PLAIN, PLAIN, None, PLAIN]
    assert hook.read("q", condition={"id": ID, "state": "other"}) == []
    found = hook.read("q", max_messages=9, condition={"id": ID, "order": VALUES["order"]})
    assert len(found) == 4
    hook.release("q", found)
    assert len(hook.read("q", max_messages=9, headers_condition=VALUES)) == 3


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        ({"a": timedelta(1)}, r"a timedelta at \$\.a"),
        ({1: "x", "1": "y"}, r"the keys 1 and '1' at \$, both '1' in JSON"),
    ],
)
def test_what_has_no_obvious_way_stays_an_error_everywhere(
    hook: PgmqHook, value: Any, reason: str, database: Database
) -> None:
    with pytest.raises(InvalidMessage, match=f"The message .*{reason}"):
        hook.send("q", value)
    with pytest.raises(InvalidMessage, match=f"The headers .*{reason}"):
        hook.send("q", 1, headers=value)
    with pytest.raises(InvalidMessage, match=f"The message .*{reason}"):
        hook.send_topic("a.b", value)
    with pytest.raises(InvalidArgument, match=f"The condition .*{reason}"):
        hook.read("q", condition=value)
    with pytest.raises(InvalidArgument, match=f"The headers_condition .*{reason}"):
        PgmqEventTrigger(queue_name="q", headers_condition=value)
    with pytest.raises(InvalidJobs, match=reason):
        PgmqPeriodicOperator(
            task_id="t", jobs=[PeriodicJob(name="a", cron="@daily", queue_name="q", message=value)]
        )
    assert queued(database, "q") == []


@pytest.mark.parametrize("native", [False, True])
def test_operators_send_them_also_out_of_templates(
    hook: PgmqHook, run_dag: Callable[..., FinishedRun], native: bool, database: Database
) -> None:
    with DAG(f"values_{native}", schedule=None, render_template_as_native_obj=native) as dag:
        PgmqSendOperator(task_id="plain", queue_name="q", message=VALUES, headers={"id": ID})
        PgmqSendOperator(task_id="many", queue_name="q", message=[VALUES["lines"][0], ID])
        PgmqSendOperator(
            task_id="template", queue_name="q", message={"at": "{{ logical_date }}", "id": ["{{ params.n }}"]}
        )

        @task
        def make() -> dict[str, Any]:
            return {"sum": Decimal("1.5"), "at": DAY}

        PgmqSendOperator(task_id="xcom", queue_name="q", message=make())
    dag.params["n"] = 5
    assert set(run_dag(dag, logical_date=DAY).states.values()) == {"success"}
    found: dict[str, list[Any]] = {}
    for row in queued(database, "q"):
        found.setdefault(row["headers"]["source"]["task_id"], []).append(row["message"])
    assert found["plain"] == [PLAIN]
    assert found["many"] == [{"sku": "a", "price": "1.5"}, str(ID)]
    at = "2026-11-20T00:00:00+00:00" if native else "2026-11-20 00:00:00+00:00"
    assert found["template"] == [{"at": at, "id": [5 if native else "5"]}]
    assert found["xcom"] == [{"sum": "1.5", "at": "2026-11-20T00:00:00+00:00"}]


def test_a_dag_file_with_them_is_stored(hook: PgmqHook) -> None:
    from airflow.serialization import serialized_objects

    job = PeriodicJob(name="a", cron="@daily", queue_name="q", message=VALUES, headers=VALUES)
    with DAG("stored", schedule=None) as dag:
        PgmqSendOperator(task_id="send", queue_name="q", message=VALUES, headers={"id": ID, "line": Line})
        PgmqSensor(task_id="wait", queue_name="q", condition=VALUES, deferrable=True, start_from_trigger=True)
        PgmqConsumeOperator(
            task_id="work", queue_name="q", python_callable=lambda message: None, condition=VALUES
        )
        PgmqPeriodicOperator(task_id="tick", jobs=[job])
    # Renamed in Airflow 3.2.
    made = getattr(serialized_objects, "DagSerialization", serialized_objects.SerializedDAG).to_dict(dag)
    assert json.loads(json.dumps(made))["dag"]["dag_id"] == "stored"


def test_jobs_send_them_and_are_the_same_after_another_parse(hook: PgmqHook) -> None:
    one, other = (
        PeriodicJob(name="a", cron="@daily", queue_name="q", message=each, headers=each)
        for each in (VALUES, PLAIN)
    )
    assert one.fingerprint == other.fingerprint
    assert json.loads(one.message_json) == PLAIN


@pytest.mark.parametrize("deferrable", [False, True])
def test_a_sensor_waits_for_them(
    hook: PgmqHook, run_dag: Callable[..., FinishedRun], deferrable: bool
) -> None:
    hook.send_batch("q", [{"id": 1}, {"id": ID, "state": "new"}])
    with DAG("waits", schedule=None) as dag:
        PgmqSensor(
            task_id="wait",
            queue_name="q",
            condition={"id": ID, "state": State.NEW},
            deferrable=deferrable,
            timeout=30,
        )
    run = run_dag(dag)
    assert [each["message"] for each in run.xcom("wait")] == [{"id": str(ID), "state": "new"}]


@pytest.mark.parametrize("trigger", [PgmqMessageTrigger, PgmqEventTrigger])
def test_what_airflow_stores_of_a_trigger_is_json(trigger: Any) -> None:
    made = trigger(queue_name="q", condition=VALUES, headers_condition={"id": ID})
    _, kwargs = made.serialize()
    assert json.loads(json.dumps(kwargs)) == kwargs
    assert kwargs["condition"] == PLAIN
    assert trigger(**kwargs).serialize() == made.serialize()


def test_a_sensor_starts_from_its_trigger_with_them() -> None:
    sensor = PgmqSensor(
        task_id="t", queue_name="q", condition=VALUES, deferrable=True, start_from_trigger=True
    )
    assert sensor.start_trigger_args is not None
    assert sensor.start_trigger_args.trigger_kwargs["condition"] == PLAIN


def test_a_condition_that_only_a_worker_knows_starts_no_trigger() -> None:
    with DAG("later", schedule=None):

        @task
        def make() -> dict[str, Any]:
            return {}

        sensor = PgmqSensor(
            task_id="t", queue_name="q", condition=make(), deferrable=True, start_from_trigger=True
        )
    assert not sensor.start_from_trigger


def test_callbacks_send_them(hook: PgmqHook) -> None:
    PgmqNotifier(queue_name="q", message=VALUES, headers={"id": ID})({"dag": DAG("calls"), "run_id": "r"})
    (message,) = hook.read("q")
    assert message.message == PLAIN
    assert message.headers == {"id": str(ID), "source": {"dag_id": "calls", "run_id": "r"}}
