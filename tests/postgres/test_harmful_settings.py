"""Settings that harm connections that are not our own: reported with their place, and removed by the fix."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import pytest

from airflow_pgmq.core import harmful_settings
from airflow_pgmq.db.client import Client
from airflow_pgmq.services import doctor
from tests.fixtures.factories import QUEUE, client_of, execute
from tests.fixtures.roles import drop_role
from tests.postgres.watching import make_queue

if TYPE_CHECKING:
    from airflow_pgmq.core.problems import Problem
    from airflow_pgmq.db.local import LocalPostgres
    from tests.fixtures.postgres import Database

pytestmark = pytest.mark.own_session("each test sets up sessions itself")

HARMFUL = {
    "statement_timeout": "'2s'",
    "transaction_timeout": "'30s'",
    "idle_in_transaction_session_timeout": "'5s'",
    "idle_session_timeout": "'2s'",
    "lock_timeout": "'100ms'",
    "default_transaction_read_only": "on",
}
HARMLESS = {
    "statement_timeout": "'10min'",
    "idle_session_timeout": "'1h'",
    "lock_timeout": "'5s'",
    "default_transaction_read_only": "off",
}


@pytest.fixture
def owner(database: Database) -> Iterator[str]:
    """A role of the test's own that owns everything in its database."""
    name = f"owner of {database.name}"
    execute(database, f'CREATE ROLE "{name}" LOGIN SUPERUSER')
    yield name
    with database.connect(options="-c default_transaction_read_only=off") as admin:
        admin.execute(f'REASSIGN OWNED BY "{name}" TO postgres')
    drop_role(database, name)


@pytest.fixture
def theirs(database: Database, owner: str) -> Client:
    """A client of that role, in a database without problems."""
    client = client_of(database.dsn, user=owner)
    make_queue(client, QUEUE)
    assert doctor.examine(client) == []
    return client


def only(found: list[Problem]) -> Problem:
    assert [each.code for each in found] == ["session_setting"]
    return found[0]


@pytest.mark.parametrize("name", HARMFUL)
@pytest.mark.parametrize("where", ["role", "database", "role in database"])
def test_it_is_told_with_its_place_and_fixed(
    database: Database, owner: str, theirs: Client, where: str, name: str
) -> None:
    place = {
        "role": f'ROLE "{owner}"',
        "database": f"DATABASE {database.name}",
        "role in database": f'ROLE "{owner}" IN DATABASE {database.name}',
    }[where]
    execute(database, f"ALTER {place} SET {name} = {HARMFUL[name]}")
    problem = only(doctor.examine(theirs))

    assert name in problem.text
    assert (owner in problem.text) is where.startswith("role")
    assert (database.name in problem.text.replace(owner, "")) is where.endswith("database")
    with database.connect(options="-c default_transaction_read_only=off") as admin:
        admin.execute(problem.fix)
    assert doctor.examine(theirs) == []


def test_the_strongest_place_is_the_one_that_is_told(database: Database, owner: str, theirs: Client) -> None:
    execute(database, f"ALTER DATABASE {database.name} SET statement_timeout = '3s'")
    execute(database, f"ALTER ROLE \"{owner}\" SET statement_timeout = '2s'")
    problem = only(doctor.examine(theirs))
    assert "2 s" in problem.text
    assert problem.fix == f'ALTER ROLE "{owner}" RESET statement_timeout;'


@pytest.mark.parametrize("name", HARMLESS)
def test_settings_without_effect_are_not_told(database: Database, theirs: Client, name: str) -> None:
    execute(database, f"ALTER DATABASE {database.name} SET {name} = {HARMLESS[name]}")
    assert doctor.examine(theirs) == []


def test_a_setting_of_the_server(own_server: LocalPostgres, own_database: Database) -> None:
    client = client_of(own_database.dsn)
    make_queue(client, QUEUE)
    with own_database.connect(autocommit=True) as admin:
        admin.execute("ALTER SYSTEM SET idle_session_timeout = '2s'")
    own_server.restart()
    problem = only(doctor.examine(client))
    assert "server's" in problem.text
    execute(own_database, problem.fix)
    assert doctor.examine(client) == []


def test_every_setting_is_one_of_postgres(database: Database) -> None:
    rows: list[dict[str, Any]] = execute(
        database, "SELECT name FROM pg_settings WHERE name = ANY (%s)", [harmful_settings.NAMES]
    )
    assert {row["name"] for row in rows} == set(HARMFUL) == set(harmful_settings.NAMES)
