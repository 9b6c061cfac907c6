"""The maintenance task on a real Airflow."""

from __future__ import annotations

from datetime import timedelta

import pytest
from airflow.sdk import DAG

from airflow_pgmq.errors import InvalidArgument
from airflow_pgmq.hooks import PgmqHook
from airflow_pgmq.operators import PgmqMaintenanceOperator, PgmqPeriodicOperator
from tests.fixtures.factories import execute, job


@pytest.fixture
def hook(pgmq_connection):
    hook = PgmqHook(pgmq_connection)
    for queue_name in ("mail", "other"):
        hook.create_queue(queue_name)
    return hook


def maintenance(**options):
    with DAG("maintenance", schedule=None) as dag:
        PgmqMaintenanceOperator(task_id="maintain", **options)
    return dag


def test_it_samples_expires_and_prunes(run_dag, hook, database):
    hook.send("mail", 1, headers={"expires_at": "2026-01-01T00:00:00Z"})
    for queue_name in ("mail", "other"):
        hook.archive(queue_name, hook.send(queue_name, "old").msg_id)
        execute(database, f"UPDATE pgmq.a_{queue_name} SET archived_at = now() - interval '3 days'")
    run = run_dag(maintenance(archive_retention=timedelta(days=2), queue_names=["mail"]))

    assert run.xcom("maintain") == {"sampled": 2, "expired": 1, "removed": 1, "skipped": {}, "overdue": 0}
    (kept,) = execute(database, "SELECT count(*) FROM pgmq.a_other")
    assert kept["count"] == 1


def test_the_names_are_templated(run_dag, hook, database):
    run = run_dag(maintenance(archive_retention=timedelta(0), queue_names=["{{ 'mail' }}"]))

    assert run.state == "success"


def test_a_negative_retention_is_refused_at_parse():
    with pytest.raises(InvalidArgument, match="archive_retention"):
        PgmqMaintenanceOperator(task_id="maintain", archive_retention=timedelta(-1))


def test_the_ticking_task_samples_too(run_dag, hook, database):
    with DAG("ticks", schedule=None) as dag:
        PgmqPeriodicOperator(task_id="tick", jobs=[job()], namespace="shop")
    run_dag(dag)

    assert execute(database, "SELECT queue_name FROM airflow_pgmq.queue_samples ORDER BY 1") == [
        {"queue_name": "mail"},
        {"queue_name": "other"},
    ]
