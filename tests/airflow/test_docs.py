"""The code blocks of README and docs are run, not only read."""

from __future__ import annotations

import json
import re
from pathlib import Path

import airflow.sdk
import jsonschema
import pytest
import yaml
from airflow.sdk import DAG

from airflow_pgmq import compat
from airflow_pgmq.cli.definition import get_commands
from airflow_pgmq.core.job_documents import parse
from airflow_pgmq.hooks import PgmqHook
from airflow_pgmq.jobs import PeriodicJob
from airflow_pgmq.operators import PgmqPeriodicOperator

ROOT = Path(__file__).parents[2]
PAGES = [*sorted(ROOT.glob("*.md")), ROOT / "dags" / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
#: Those of docs/zh are the English ones, says tests/unit/test_translated_pages.py.
BLOCKS = [
    pytest.param(block, id=f"{page.relative_to(ROOT)}-{number}")
    for page in PAGES
    if not page.is_relative_to(ROOT / "docs" / "zh")
    for number, block in enumerate(re.findall(r"```python\n(.*?)```", page.read_text(), re.S), 1)
    # Tests of a project of its own; test_testing.py runs all of them.
    if page.name != "testing.md" or not block.startswith("# tests/")
]


#: The file of jobs that a block of Python reads.
(JOBS_FILE,) = re.findall(r"```yaml\n(.*?)```", (ROOT / "docs" / "guides" / "live_jobs.md").read_text(), re.S)


@pytest.mark.parametrize("code", BLOCKS)
def test_python_blocks_run(code: str, pgmq_connection: str, tmp_path: Path) -> None:
    if 'deliver="payload"' in code:
        pytest.importorskip("airflow.triggers.shared_stream", reason="new in Airflow 3.3")
    if "AssetTriggeredTimetable" in code and not hasattr(airflow.sdk, "AssetTriggeredTimetable"):
        pytest.skip("new in Airflow 3.4")
    if "partition_by_slot=True" in code and not compat.gives_partition_keys():
        pytest.skip("new in Airflow 3.3")
    if "postgresql+psycopg:" in code:
        pytest.importorskip("sqlalchemy.dialects.postgresql.psycopg", reason="new in SQLAlchemy 2")
    hook = PgmqHook()
    hook.create_queue("billing")
    job = PeriodicJob(name="invoices", cron="* * * * *", queue_name="billing")
    tick = PgmqPeriodicOperator(task_id="tick", jobs=[job], namespace="periodic_jobs")
    tick.execute(tick_context())
    (tmp_path / "jobs.yaml").write_text(JOBS_FILE)
    names: dict[str, object] = {"__file__": str(tmp_path / "dag.py")}
    exec(compile(code, "block", "exec"), names)
    jobs = [value for value in names.values() if isinstance(value, PeriodicJob)]
    assert [job.problems() for job in jobs] == [[]] * len(jobs)
    assert jobs or any(isinstance(each, (DAG, PgmqHook)) or name == "DAG" for name, each in names.items())


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_inside_the_repository_lead_somewhere(page: Path) -> None:
    for target, anchor in re.findall(r"\]\((?!https?:)([^)#]*)#?([^)]*)\)", page.read_text()):
        file = page.parent / target if target else page
        assert file.exists(), target
        # Of a picture it says in which theme it is shown.
        assert not anchor or file.suffix == ".svg" or anchor in anchors_of(file), f"{target}#{anchor}"


def anchors_of(page: Path) -> set[str]:
    """The headings of a page, as GitHub makes addresses of them."""
    text = re.sub(r"```.*?```", "", page.read_text(), flags=re.S)
    headings = re.findall(r"^#+ (.+)$", text, re.M)
    return {re.sub(r"[^\w\- ]", "", each.lower()).replace(" ", "-") for each in headings}


def test_the_readme_names_only_make_targets_that_exist() -> None:
    targets = set(re.findall(r"^([a-z0-9-]+):", (ROOT / "Makefile").read_text(), re.M))
    assert set(re.findall(r"^make ([a-z0-9-]+)", (ROOT / "README.md").read_text(), re.M)) <= targets


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_the_commands_that_a_page_names_are_there(page: Path) -> None:
    known = {command.name for group in get_commands() for command in group.subcommands}
    assert set(re.findall(r"airflow pgmq ([a-z-]+)", page.read_text())) <= known


def test_the_file_of_jobs_is_one_for_editors() -> None:
    schema = json.loads((ROOT / "airflow_pgmq" / "core" / "job_documents" / "jobs.schema.json").read_text())
    jsonschema.validate(yaml.load(JOBS_FILE, yaml.BaseLoader), schema)
    assert len(parse(JOBS_FILE)) == 3


def test_the_first_dag_needs_the_queues_that_its_steps_make() -> None:
    steps = (ROOT / "README.md").read_text().split("## A first Dag")[1].split("**5.")[0]
    (made,) = re.findall(r"^airflow pgmq init (.+)$", steps, re.M)
    assert set(re.findall(r'queue_name="(\w+)"', steps)) == set(made.split())


def tick_context() -> dict[str, object]:
    from types import SimpleNamespace

    ti = SimpleNamespace(dag_id="d", task_id="tick", run_id="scheduled__1", map_index=-1)
    return {"dag_run": SimpleNamespace(run_type="scheduled"), "ti": ti}
