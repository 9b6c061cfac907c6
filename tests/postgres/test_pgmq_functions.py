"""Each function of PGMQ is reached, or it is said why not; docs/reference/pgmq_functions.md says the same."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest
from pgmq.install import get_embedded_sql_version

from airflow_pgmq import operators, sensors
from airflow_pgmq.hooks import PgmqHook
from airflow_pgmq.notifications import PgmqNotifier
from tests.fixtures.factories import execute
from tests.postgres import pgmq_functions
from tests.postgres.pgmq_functions import REACHED

if TYPE_CHECKING:
    from tests.fixtures.postgres import Database

ALL = [each for part in REACHED.values() for each in part]


def installed(database: Database) -> set[str]:
    rows = execute(
        database,
        "SELECT format('%s(%s)', proname, oidvectortypes(proargtypes)) AS function FROM pg_proc"
        " WHERE pronamespace = 'pgmq'::regnamespace AND NOT starts_with(proname, '_')",
    )
    return {row["function"] for row in rows}


def test_somebody_has_decided_about_each_function(database: Database) -> None:
    """If a newer PGMQ has one more: reach it, or say why not, in `tests/postgres/pgmq_functions.py`."""
    assert installed(database) == pgmq_functions.known(get_embedded_sql_version())


def test_a_function_that_is_new_would_be_found(database: Database) -> None:
    execute(database, "CREATE FUNCTION pgmq.read_all(queue_name text) RETURNS void LANGUAGE sql AS ''")
    assert installed(database) - pgmq_functions.known(get_embedded_sql_version()) == {"read_all(text)"}


def test_the_page_is_written_from_the_list() -> None:
    """After a change: `python -m tests.postgres.pgmq_functions`."""
    assert pgmq_functions.PAGE.read_text(encoding="utf-8") == pgmq_functions.written()


@pytest.mark.parametrize("function", ALL, ids=lambda each: each.name)
def test_what_reaches_it_is_there(function: pgmq_functions.Function) -> None:
    verbs = [name for name in re.findall(r"`([a-z_]+)", function.hook) if name != "ordered"]
    assert verbs
    assert [name for name in verbs if not callable(getattr(PgmqHook, name, None))] == []
    classes = {**vars(operators), **vars(sensors), "PgmqNotifier": PgmqNotifier}
    assert [name for name in re.findall(r"`(\w*Pgmq\w+)", function.operator) if name not in classes] == []


def test_each_is_listed_once() -> None:
    names = [each.name for each in ALL]
    assert sorted(set(names)) == sorted(names)
