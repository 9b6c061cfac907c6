"""Slots as partitions of a queue's asset: the events that Airflow stores of a tick."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest
from airflow.sdk import DAG, Asset

from airflow_pgmq import compat
from airflow_pgmq.assets import queue_asset
from airflow_pgmq.core import slots
from airflow_pgmq.errors import InvalidArgument
from airflow_pgmq.hooks import PgmqHook
from airflow_pgmq.jobs import At, PeriodicJob
from airflow_pgmq.operators import PgmqPeriodicOperator
from tests.fixtures.airflow import FinishedRun

needs_partitions = pytest.mark.skipif(not compat.gives_partition_keys(), reason="new in Airflow 3.3")

MINUTE = PeriodicJob(name="minute", cron="* * * * *", queue_name="mail")


@pytest.fixture
def hook(pgmq_connection: str) -> PgmqHook:
    hook = PgmqHook()
    for name in ("mail", "post"):
        hook.create_queue(name)
    return hook


def queued(hook: PgmqHook, queue_name: str) -> list[str]:
    return sorted(message.headers["slot"] for message in hook.peek(queue_name, limit=10_000))


def ticking(dag_id: str, *jobs: PeriodicJob, outlets: Any = None, **options: Any) -> DAG:
    with DAG(dag_id, schedule=None) as dag:
        PgmqPeriodicOperator(
            task_id="tick",
            jobs=jobs,
            outlets=[queue_asset("mail"), queue_asset("post")] if outlets is None else outlets,
            partition_by_slot=True,
            **{"look_ahead": timedelta(minutes=3), **options},
        )
    return dag


def events(run: FinishedRun) -> list[tuple[str, str | None]]:
    """The asset and the partition key of each event of a run."""
    from airflow.models.asset import AssetEvent, AssetModel
    from airflow.utils.session import create_session
    from sqlalchemy import select

    with create_session() as session:
        found = session.execute(
            select(AssetModel.uri, AssetEvent.partition_key)
            .join(AssetModel, AssetModel.id == AssetEvent.asset_id)
            .where(AssetEvent.source_run_id == run.dag_run.run_id)
            .where(AssetEvent.source_dag_id == run.dag_run.dag_id)
        ).all()
    return sorted((uri, key) for uri, key in found)


@needs_partitions
def test_each_slot_that_was_sent_is_a_partition_of_its_queue(hook, run_dag: Callable[..., FinishedRun]):
    twin = PeriodicJob(name="twin", cron="* * * * *", queue_name="mail")
    other = PeriodicJob(name="other", cron="* * * * * */30", queue_name="post")
    run = run_dag(ticking("partitions", MINUTE, twin, other))
    assert run.state == "success"
    assert len(queued(hook, "mail")) == 6
    assert events(run) == [
        *(("pgmq://pgmq_default/mail", slot) for slot in sorted(set(queued(hook, "mail")))),
        *(("pgmq://pgmq_default/post", slot) for slot in queued(hook, "post")),
    ]


@needs_partitions
def test_what_was_not_sent_has_no_event(hook, run_dag: Callable[..., FinishedRun]):
    """Not even one without a partition key, as Airflow gives each outlet of a task that succeeds."""
    at = datetime.now(timezone.utc).replace(microsecond=0) + timedelta(minutes=1)
    once = PeriodicJob(name="once", schedule=At(at), queue_name="mail")
    # A queue of another connection, and what is no queue, are not this operator's to decide on.
    others = [queue_asset("mail", pgmq_conn_id="elsewhere"), Asset("s3://bucket/file")]
    dag = ticking("nothing_new", once, outlets=[queue_asset("mail"), *others])
    plain: list[tuple[str, str | None]] = [(asset.uri, None) for asset in others]
    assert events(run_dag(dag)) == sorted([("pgmq://pgmq_default/mail", slots.text(at)), *plain])
    assert events(run_dag(dag)) == plain


@needs_partitions
def test_of_very_many_slots_the_newest_are_partitions(hook, run_dag, monkeypatch, caplog, capsys):
    monkeypatch.setenv("AIRFLOW__WORKERS__EXECUTION_API_TIMEOUT", "0.2")
    seconds = PeriodicJob(name="seconds", cron="* * * * * */10", queue_name="post")
    found = events(run_dag(ticking("many", MINUTE, seconds, look_ahead=timedelta(minutes=1))))
    assert len(found) == 4
    sent = [(slot, f"pgmq://pgmq_default/{name}") for name in ("mail", "post") for slot in queued(hook, name)]
    assert {(slot, uri) for uri, slot in found} == set(sorted(sent)[-4:])
    assert f"{len(sent)} slots were sent, and only the newest 4" in caplog.text + capsys.readouterr().out


@needs_partitions
def test_without_a_queue_among_its_outlets_it_is_an_error_at_dag_parse():
    for outlets in ([], [Asset("s3://bucket/file")]):
        with pytest.raises(InvalidArgument, match=r"add outlets=\[queue_asset"):
            ticking("no_outlets", MINUTE, outlets=outlets)


@pytest.mark.skipif(compat.gives_partition_keys(), reason="this Airflow has it")
def test_an_older_airflow_says_which_one_it_needs_at_dag_parse():
    with pytest.raises(InvalidArgument, match=r"needs Airflow 3\.3 or newer, and this is 3\.[12]"):
        ticking("too_old", MINUTE)


def test_it_is_true_or_false():
    with pytest.raises(InvalidArgument, match="must be True or False"):
        PgmqPeriodicOperator(task_id="tick", jobs=[MINUTE], partition_by_slot="yes")  # type: ignore[arg-type]
