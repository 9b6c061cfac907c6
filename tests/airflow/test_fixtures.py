"""A Dag run of the tests is a real one."""

from __future__ import annotations

from datetime import timedelta

import pytest
from airflow.providers.standard.sensors.time_delta import TimeDeltaSensor
from airflow.sdk import DAG, BaseHook, task


def test_run_dag_returns_states_and_xcoms(run_dag):
    with DAG("fixtures_states") as dag:

        @task
        def number():
            return 20

        @task
        def add(one, two):
            return one + two

        add.partial(one=number()).expand(two=[1, 2])

    run = run_dag(dag)

    assert run.state == "success"
    assert run.states == {"number": "success", "add[0]": "success", "add[1]": "success"}
    assert run.xcom("number") == 20
    assert [run.xcom("add", map_index=index) for index in (0, 1)] == [21, 22]


def test_run_dag_reports_a_failed_task(run_dag):
    with DAG("fixtures_failure") as dag:

        @task
        def fail():
            raise ValueError("on purpose")

        @task
        def after():
            pass

        fail() >> after()

    run = run_dag(dag)

    assert run.state == "failed"
    assert run.states == {"fail": "failed", "after": "upstream_failed"}


def test_run_dag_runs_triggers(run_dag):
    with DAG("fixtures_deferral") as dag:
        TimeDeltaSensor(task_id="wait", delta=timedelta(milliseconds=100), deferrable=True)

    assert run_dag(dag).states == {"wait": "success"}


def test_the_same_dag_runs_twice(run_dag):
    with DAG("fixtures_twice") as dag:

        @task
        def run_id(run_id=None):
            return run_id

        run_id()

    first, second = run_dag(dag), run_dag(dag)

    assert first.xcom("run_id") != second.xcom("run_id")


@pytest.mark.usefixtures("pgmq_connection")
def test_pgmq_connection_is_the_tests_database(database):
    connection = BaseHook.get_connection("pgmq_default")

    assert connection.conn_type == "pgmq"
    assert connection.schema == database.name
