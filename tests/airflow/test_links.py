"""Links from a task's details to the page, as workers store them."""

from __future__ import annotations

from types import SimpleNamespace
from urllib.parse import quote

import pytest
from airflow.sdk import DAG

from airflow_pgmq import operators
from airflow_pgmq.hooks import PgmqHook
from airflow_pgmq.jobs import PeriodicJob
from airflow_pgmq.operators import (
    PgmqConsumeOperator,
    PgmqPeriodicOperator,
    PgmqSendOperator,
    PgmqToSqlOperator,
)
from airflow_pgmq.sensors import PgmqSensor

try:
    from airflow.sdk.types import TaskInstanceKey
except ImportError:  # before 3.2
    from airflow.models.taskinstancekey import TaskInstanceKey


@pytest.fixture
def queue(pgmq_connection):
    PgmqHook(pgmq_connection).create_queue("mail")
    return "mail"


def links(dag, run_dag):
    """Each link of the Dag's only task by its XCom key."""
    run = run_dag(dag)
    [task] = dag.tasks
    found = {link.xcom_key: run.xcom(task.task_id, link.xcom_key) for link in task.operator_extra_links}
    return run.dag_run.run_id, found


def test_a_sending_task_leads_to_its_queue_and_its_messages(run_dag, queue):
    with DAG("linked_send", schedule=None) as dag:
        PgmqSendOperator(task_id="send", queue_name="{{ 'mail' }}", message=1)
    run_id, found = links(dag, run_dag)
    assert found == {
        "pgmq_queue_link": "pgmq/go/queue/mail?connection_id=pgmq_default",
        "pgmq_messages_link": "pgmq/go/sent?connection_id=pgmq_default&dag_id=linked_send"
        f"&run_id={quote(run_id, safe='')}&task_id=send&map_index=-1",
    }


def test_a_ticking_task_leads_to_its_jobs(run_dag, queue):
    with DAG("linked_tick", schedule=None) as dag:
        PgmqPeriodicOperator(task_id="tick", jobs=[PeriodicJob(name="j", cron="@daily", queue_name=queue)])
    _, found = links(dag, run_dag)
    assert found["pgmq_jobs_link"] == "pgmq/go/jobs?connection_id=pgmq_default&namespace=linked_tick"


def test_a_consuming_task_leads_to_its_queue(run_dag, queue):
    with DAG("linked_consume", schedule=None) as dag:
        PgmqConsumeOperator(task_id="consume", queue_name=queue, python_callable=lambda message: None)
    _, found = links(dag, run_dag)
    assert found == {"pgmq_queue_link": "pgmq/go/queue/mail?connection_id=pgmq_default"}


def test_a_sensor_has_its_link_before_it_ends(run_dag, queue):
    """It ends in an error, after which nothing would be stored any more by `DAG.test`."""
    with DAG("linked_wait", schedule=None) as dag:
        PgmqSensor(task_id="wait", queue_name=queue, timeout=0, poke_interval=0.1, mode="poke")
    _, found = links(dag, run_dag)
    assert found == {"pgmq_queue_link": "pgmq/go/queue/mail?connection_id=pgmq_default"}


def test_a_drain_has_its_link_before_it_begins(queue):
    """Airflow would store it when the task has ended, and drains last."""
    pushed = {}
    ti = SimpleNamespace(xcom_push=lambda key, value: pushed.update({key: value}))
    PgmqToSqlOperator(task_id="store", queue_name=queue, sql="SELECT 1").execute({"ti": ti})
    assert pushed == {"pgmq_queue_link": "pgmq/go/queue/mail?connection_id=pgmq_default"}


def test_a_name_of_another_client_is_quoted():
    from airflow_pgmq.links import PgmqQueueLink

    task = PgmqSendOperator(task_id="send", queue_name="a b/ä?", message=1)
    link = PgmqQueueLink().get_link(task, ti_key=None)
    assert link == "pgmq/go/queue/a%20b%2F%C3%A4%3F?connection_id=pgmq_default"


#: What each operator must be given.
GIVEN = {
    "PgmqAckOperator": {"messages": [1]},
    "PgmqConsumeOperator": {"python_callable": lambda message: None},
    "PgmqExtendOperator": {"messages": [1], "visibility_timeout": 60},
    "PgmqMaintenanceOperator": {"queue_names": ["mail"]},
    "PgmqPeriodicOperator": {"jobs": [PeriodicJob(name="j", cron="@daily", queue_name="mail")]},
    "PgmqReleaseOperator": {"messages": [1]},
    "SqlToPgmqOperator": {"sql": "SELECT 1 AS message"},
    "PgmqSendOperator": {"message": 1},
    "PgmqSendTopicOperator": {"message": 1, "routing_key": "a.b"},
    "PgmqToSqlOperator": {"sql": "SELECT 1"},
}


@pytest.mark.parametrize("name", operators.__all__)
def test_every_link_of_every_operator_leads_somewhere(name):
    given = GIVEN.get(name, {})
    if name not in ("PgmqMaintenanceOperator", "PgmqPeriodicOperator", "PgmqSendTopicOperator"):
        given = {"queue_name": "mail", **given}
    task = getattr(operators, name)(task_id="it", **given)
    key = TaskInstanceKey(dag_id="d", task_id="it", run_id="r", try_number=1, map_index=-1)
    for link in task.operator_extra_links:
        assert link.get_link(task, ti_key=key).startswith("pgmq/go/")
