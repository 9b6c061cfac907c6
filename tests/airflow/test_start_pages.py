"""The pages for beginners are followed, step by step: each file is written, each command is run."""

from __future__ import annotations

import re
import shlex
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from airflow.sdk import DAG

try:
    from airflow.dag_processing.dagbag import DagBag
except ImportError:  # Airflow before 3.2
    from airflow.models.dagbag import DagBag

from tests.fixtures.airflow import FinishedRun

ROOT = Path(__file__).parents[2]
PAGES = ("first_message", "tutorial")
BLOCK = re.compile(r'^```(\w+)(?: title="dags/(\w+)\.py")?\n(.*?)^```', re.S | re.M)

#: What a reader does outside of this project.
OTHERS = (
    "pip install ",
    "python -m airflow_pgmq.db.local ",
    "airflow connections add ",
    "airflow db migrate",
    "airflow dags unpause ",
)


@dataclass
class Reader:
    """Who follows a page: has a Dag folder and a terminal."""

    run: Callable[..., Any]
    run_dag: Callable[[DAG], FinishedRun]
    folder: Path
    dags: dict[str, DAG] = field(default_factory=dict)
    runs: list[str] = field(default_factory=list)

    def write(self, name: str, code: str) -> None:
        (self.folder / f"{name}.py").write_text(code)
        bag = DagBag(self.folder / f"{name}.py")
        assert not bag.import_errors
        self.dags |= bag.dags

    def type(self, command: str) -> str:
        """Run a command; what it prints."""
        if command.startswith(OTHERS):
            return ""
        match shlex.split(command):
            case ["airflow", "dags", "test", dag_id]:
                done = self.run_dag(self.dags[dag_id])
                assert done.state == "success", (command, done.states)
                self.runs.append(dag_id)
                return ""
            case ["sleep", seconds]:
                # As the page says: a message comes back after this time, and no event tells of it.
                time.sleep(float(seconds))
                return ""
            case ["airflow", "pgmq", *words]:
                return str(self.run(*words))
        raise AssertionError(f"nobody knows what to do with: {command}")


def steps(console: str) -> Iterator[tuple[str, list[str]]]:
    """The commands of a block, each with what the page says that it prints; `…` is anything."""
    for step in console.replace("\\\n", "").split("\n$ "):
        command, *printed = step.removeprefix("$ ").splitlines()
        yield command, [part for line in printed for part in line.split("…") if part]


@pytest.fixture
def reader(run: Any, run_dag: Any, pgmq_connection: str, tmp_path: Path) -> Reader:
    return Reader(run, run_dag, tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("name", PAGES)
def test_a_reader_gets_what_the_page_says(name: str, reader: Reader) -> None:
    page = (ROOT / "docs" / "start" / f"{name}.md").read_text()
    for language, title, body in BLOCK.findall(page):
        if title:
            reader.write(title, body)
        elif language == "console":
            for command, printed in steps(body):
                said = reader.type(command)
                for part in printed:
                    assert part in said, command
    assert set(reader.runs) == set(reader.dags)


def test_a_wrong_page_is_found(reader: Reader) -> None:
    reader.run("init", "hello")
    ((command, printed),) = steps("$ airflow pgmq peek hello\n…no such text…\n")
    assert printed == ["no such text"]
    assert "no such text" not in reader.type(command)
