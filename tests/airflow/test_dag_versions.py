"""A Dag's jobs in what Airflow stores and shows: versions, rendered fields, a task's documentation."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import pytest

from airflow_pgmq.hooks import PgmqHook
from tests.fixtures.airflow import BUNDLE, FinishedRun
from tests.fixtures.patience import patience

if TYPE_CHECKING:
    from fastapi.testclient import TestClient

ROOT = Path(__file__).parents[2]
DAG_ID = "versions"
FILE = """
from dataclasses import replace
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo
from pydantic import BaseModel
from airflow.sdk import DAG
from airflow_pgmq.jobs import PeriodicJob
from airflow_pgmq.operators import PgmqPeriodicOperator

class Tagged(BaseModel):
    tags: set[str]

with DAG("versions", schedule="* * * * *"):
    PgmqPeriodicOperator(task_id="tick", jobs=JOBS, look_ahead=timedelta(minutes=2))
"""
#: A set of texts is in another order with each PYTHONHASHSEED.
SHUFFLED = """
[
    PeriodicJob(
        name=name,
        cron="0 6 * * 1-5",
        timezone="Europe/Berlin",
        queue_name="q",
        message={key: "{{ ds }}" for key in {"do", "it", "now"}},
        headers={**{key: 1 for key in {"a", "b", "c"}}, "model": Tagged(tags={"x", "y", "zz"})},
        start=datetime(2026, 1, 1, tzinfo=ZoneInfo("Europe/Berlin")),
    )
    for name in {"invoices", "payroll", "reports"}
]
"""
#: What the Dag processor does with a file, for a process of its own, too.
PARSE = """
try:
    from airflow.dag_processing.dagbag import DagBag, sync_bag_to_db
except ImportError:  # Airflow before 3.2
    from airflow.models.dagbag import DagBag, sync_bag_to_db

bag = DagBag(path)
assert bag.import_errors == {}
sync_bag_to_db(bag, bundle, None)
"""
JOB = "PeriodicJob(name='a', cron='0 6 * * *', queue_name='q', message={'do': 'it', 'n': 1}"


@pytest.fixture
def hook(pgmq_connection: str) -> PgmqHook:
    hook = PgmqHook()
    hook.create_queue("q")
    return hook


class Deployed:
    """A Dag file, as the Dag processor reads it into Airflow's database."""

    def __init__(self, path: Path, run_dag: Callable[..., FinishedRun]) -> None:
        self.path, self.run_dag = path, run_dag

    def write(self, jobs: str) -> None:
        self.path.write_text(FILE.replace("JOBS", jobs))

    def parse(self) -> Any:
        """Parse the file and store its Dag; the Dag."""
        names: dict[str, Any] = {"path": str(self.path), "bundle": BUNDLE}
        exec(PARSE, names)
        return names["bag"].dags[DAG_ID]

    def run(self, jobs: str) -> FinishedRun:
        """Deploy these jobs and run the Dag: a version with task instances is not written over."""
        self.write(jobs)
        run = self.run_dag(self.parse())
        assert run.state == "success"
        return run

    @property
    def versions(self) -> int:
        from airflow.models.dag_version import DagVersion
        from airflow.utils.session import create_session
        from sqlalchemy import func, select

        with create_session() as session:
            return session.scalar(
                select(func.count()).select_from(DagVersion).where(DagVersion.dag_id == DAG_ID)
            )

    @property
    def stored(self) -> dict[str, Any]:
        """The serialized Dag, the newest."""
        from airflow.models.serialized_dag import SerializedDagModel

        return SerializedDagModel.get(DAG_ID).data

    @property
    def task(self) -> dict[str, Any]:
        """The serialized task."""
        return self.stored["dag"]["tasks"][0]["__var"]


@pytest.fixture
def deployed(
    tmp_path: Path, hook: PgmqHook, run_dag: Callable[..., FinishedRun], monkeypatch: pytest.MonkeyPatch
) -> Deployed:
    from airflow import settings

    # Airflow stores no Dag twice within half a minute.
    monkeypatch.setenv("AIRFLOW__CORE__MIN_SERIALIZED_DAG_UPDATE_INTERVAL", "0")
    if hasattr(settings, "MIN_SERIALIZED_DAG_UPDATE_INTERVAL"):  # before Airflow 3.2
        monkeypatch.setattr(settings, "MIN_SERIALIZED_DAG_UPDATE_INTERVAL", 0)
    _forget()
    return Deployed(tmp_path / "versions.py", run_dag)


def _forget() -> None:
    """Versions that other tests made."""
    from airflow.models.dag import DagModel
    from airflow.models.dagrun import DagRun
    from airflow.utils.session import create_session
    from sqlalchemy import delete

    with create_session() as session:
        session.execute(delete(DagRun).where(DagRun.dag_id == DAG_ID))
        session.execute(delete(DagModel).where(DagModel.dag_id == DAG_ID))


def test_one_changed_job_is_one_new_version_of_the_dag(deployed: Deployed) -> None:
    deployed.run(f"[{JOB})]")
    assert deployed.versions == 1
    # Which fields count is tested with the digest.
    for count, change in enumerate(
        ("message={'do': 'it', 'n': 2}", "ttl=timedelta(hours=1)", "group='g'"), 2
    ):
        jobs = f"[replace({JOB}), {change})]"
        deployed.run(jobs)
        deployed.run(jobs)
        assert deployed.versions == count


def test_added_and_removed_jobs_are_new_versions_and_an_old_one_again_is_one_too(deployed: Deployed) -> None:
    other = JOB.replace("'a'", "'b'")
    for jobs in (f"[{JOB})]", f"[{JOB}), {other})]", f"[{other})]", f"[{JOB})]"):
        deployed.run(jobs)
    assert deployed.versions == 4


def test_one_change_among_many_is_a_new_version(deployed: Deployed) -> None:
    jobs = "[PeriodicJob(name=f'j{n}', cron='0 0 1 1 *', queue_name='q', message=n) for n in range(500)]"
    deployed.run(jobs)
    deployed.write(jobs.replace("message=n", "message=n + (n == 250)"))
    deployed.parse()
    assert deployed.versions == 2


@pytest.mark.parametrize("longest", ["0", "40", "100000"])
def test_a_change_is_one_however_long_airflow_lets_fields_be(
    deployed: Deployed, longest: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AIRFLOW__CORE__MAX_TEMPLATED_FIELD_LENGTH", longest)
    jobs = (
        "[PeriodicJob(name=f'j{n}', cron='0 0 1 1 *', queue_name='q', message='x' * 500) for n in range(9)]"
    )
    with_docs = FILE.replace('task_id="tick"', 'task_id="tick", doc_md="mine"')
    deployed.path.write_text(with_docs.replace("JOBS", jobs))
    deployed.run_dag(deployed.parse())
    deployed.path.write_text(with_docs.replace("JOBS", jobs.replace("* 500", "* 501")))
    deployed.parse()
    assert deployed.versions == 2
    assert deployed.task["doc_md"] == "mine"


def test_the_same_jobs_in_another_order_are_no_new_version(deployed: Deployed) -> None:
    other = JOB.replace("'a'", "'b'")
    deployed.run(f"[{JOB}), {other})]")
    deployed.run(f"[{other}), {JOB})]".replace("{'do': 'it', 'n': 1}", "{'n': 1, 'do': 'it'}"))
    assert deployed.versions == 1


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_no_hash_seed_makes_a_new_version(deployed: Deployed) -> None:
    deployed.run(SHUFFLED)
    _parse_elsewhere(deployed.path, "1")
    assert deployed.versions == 1
    # That another process stores what it reads is shown by a change.
    deployed.write(SHUFFLED.replace("0 6", "0 7"))
    _parse_elsewhere(deployed.path, "2")
    deployed.run_dag(deployed.parse())
    assert deployed.versions == 2
    _parse_elsewhere(deployed.path, "1")
    assert deployed.versions == 2


def _parse_elsewhere(path: Path, seed: str) -> None:
    program = f"path, bundle = {str(path)!r}, {BUNDLE!r}\n{PARSE}"
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONHASHSEED": seed}
    subprocess.run([sys.executable, "-c", program], env=environment, check=True, timeout=patience(60))


def test_a_run_and_its_task_show_the_jobs_as_they_are_written(
    deployed: Deployed, hook: PgmqHook, boss: TestClient
) -> None:
    run = deployed.run(SHUFFLED.replace("0 6 * * 1-5", "* * * * *"))
    run_id = quote(run.dag_run.run_id)
    shown = boss.get(f"/api/v2/dags/{DAG_ID}/dagRuns/{run_id}/taskInstances/tick").json()["rendered_fields"]
    head, *lines = shown["jobs"].splitlines()
    assert head.startswith("3 periodic jobs, digest ")
    message = '{"do":"{{ ds }}","it":"{{ ds }}","now":"{{ ds }}"}'
    others = 'start=2026-01-01T00:00:00+01:00 | headers={"a":1,"b":1,"c":1,"model":{"tags":["x","y","zz"]}}'
    assert lines == [
        "queue q",
        *(
            f"  {name}: * * * * * Europe/Berlin | {message} | {others}"
            for name in ("invoices", "payroll", "reports")
        ),
    ]
    assert shown["look_ahead"] == "0:02:00"

    docs = boss.get(f"/api/v2/dags/{DAG_ID}/tasks/tick").json()["doc_md"]
    assert docs.splitlines()[0] == head
    assert [line.strip(" -`") for line in docs.splitlines()[2:]] == [line.strip() for line in lines]

    with hook.get_conn() as conn:
        sent = conn.execute("SELECT message, headers ->> 'slot' FROM pgmq.q_q").fetchall()
    assert sent
    # Rendered for each slot, not for the run.
    assert all(message == dict.fromkeys(("do", "it", "now"), slot[:10]) for message, slot in sent)


def test_ten_thousand_jobs_are_counted(deployed: Deployed) -> None:
    job = "PeriodicJob(name=f'{n}' + 'n' * 90, cron='0 0 1 1 *', queue_name=f'q{n % 3}', message='x' * 1000)"
    deployed.write(f"[{job} for n in range(10_000)]")
    dag = deployed.parse()
    assert len(json.dumps(deployed.stored)) < 10_000
    assert deployed.task["jobs"].splitlines() == [
        f"10,000 periodic jobs, digest {dag.tasks[0].jobs.digest}",
        "queue q0: 3,334 jobs",
        "queue q1: 3,333 jobs",
        "queue q2: 3,333 jobs",
    ]
