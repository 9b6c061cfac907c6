"""What each part imports: the core runs where neither Airflow nor a driver is installed."""

from __future__ import annotations

import json

import pytest

from tests.unit.support import ROOT, python

PACKAGE = ROOT / "airflow_pgmq"
#: The layers that decide and do nothing else.
PURE = sorted(
    ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
    for folder in ("core", "db/sql", "db/statements")
    for path in (PACKAGE / folder).rglob("*.py")
) + ["airflow_pgmq.command_line", "airflow_pgmq.errors", "airflow_pgmq.jobs", "airflow_pgmq.provider_info"]

OUTSIDE = {"airflow", "psycopg", "psycopg2", "psycopg_pool", "sqlalchemy", "pendulum", "pgmq", "asyncpg"}


def imported_by(*modules: str) -> set[str]:
    """Modules that an interpreter has in memory only because of these imports."""
    code = f"""
import json, sys
before = set(sys.modules)
import {", ".join(modules)}
print(json.dumps(sorted(set(sys.modules) - before)))
"""
    return set(json.loads(python(code)))


def test_the_pure_layers_need_neither_airflow_nor_a_driver():
    assert "airflow_pgmq.core.schedule.cron" in PURE
    packages = {name.split(".")[0] for name in imported_by(*PURE)}
    assert packages & OUTSIDE == set()


def test_sending_and_reading_need_no_croniter():
    found = imported_by("airflow_pgmq.db.statements.sending", "airflow_pgmq.db.statements.reading")
    assert "croniter" not in found


def test_the_package_itself_imports_nothing():
    """Airflow imports it in every process while it looks for providers."""
    assert imported_by("airflow_pgmq") == {"airflow_pgmq"}


def test_the_package_itself_holds_its_version_and_nothing_else():
    names = json.loads(python("import airflow_pgmq, json; print(json.dumps(dir(airflow_pgmq)))"))
    assert [name for name in names if name.strip("_") == name or name == "__version__"] == ["__version__"]


def test_provider_info_imports_nothing_of_the_package():
    found = {name for name in imported_by("airflow_pgmq.provider_info") if name.startswith("airflow")}
    assert found == {"airflow_pgmq", "airflow_pgmq.provider_info"}


@pytest.mark.parametrize("module", ["airflow_pgmq.jobs"])
def test_declaring_jobs_loads_no_statements(module):
    assert not any("statements" in name for name in imported_by(module))
