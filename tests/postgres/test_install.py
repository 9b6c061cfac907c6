"""Installing PGMQ if it is missing, and our schema; by many at once; with a clear error if it fails."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import psycopg
import pytest

from airflow_pgmq.db.sql import migrations
from airflow_pgmq.db.statements import queues, schema
from airflow_pgmq.errors import FeatureMissing, NotInstalled
from airflow_pgmq.services import creating
from tests.fixtures.factories import client_of, execute, send, statuses
from tests.fixtures.roles import drop_role
from tests.postgres.processes import at_once, install

NEWEST = max(migrations())


@pytest.fixture
def stranger(empty_database):
    """A client of a role that may only connect."""
    role = f"stranger_{empty_database.name}"
    execute(empty_database, f"CREATE ROLE {role} LOGIN")
    yield client_of(empty_database.dsn, user=role)
    execute(empty_database, f"DROP ROLE {role}")


def test_empty_database_gets_pgmq_and_our_schema(empty_database):
    client = client_of(empty_database.dsn)

    done = client.install()

    assert done == [
        "PGMQ: SQL of the official client",
        *(f"airflow_pgmq schema: migration {n}" for n in migrations()),
    ]
    assert client.run(schema.version) == NEWEST
    assert client.run(queues.list_all) == []


def test_installing_again_does_nothing(empty_database):
    client = client_of(empty_database.dsn)
    client.install()

    assert client.install() == []


def test_only_what_is_missing_is_installed(database):
    execute(database, "DROP SCHEMA airflow_pgmq CASCADE")

    done = [f"airflow_pgmq schema: migration {n}" for n in migrations()]
    assert client_of(database.dsn).install() == done


def test_many_processes_install_at_once(empty_database):
    done = at_once(install, [(empty_database.dsn,)] * 8)

    assert sorted(map(len, done)) == [0] * 7 + [1 + len(migrations())]


def test_failed_installation_leaves_nothing(empty_database, monkeypatch):
    monkeypatch.setattr("airflow_pgmq.db.statements.schema.migrations", lambda: {1: "SELECT 1 / 0"})

    with pytest.raises(psycopg.errors.DivisionByZero):
        client_of(empty_database.dsn).install()

    assert execute(empty_database, "SELECT to_regnamespace('pgmq') AS pgmq") == [{"pgmq": None}]


def test_role_that_may_not_install_is_told_who_should(stranger):
    with pytest.raises(NotInstalled, match=r"(?s)may not install.*permission denied.*Let a role"):
        stranger.install()


def test_first_use_by_such_a_role_tells_the_same(stranger):
    with pytest.raises(NotInstalled, match="Let a role"):
        stranger.ensure_schema()


def test_without_the_official_client_the_ways_to_get_pgmq_are_told(empty_database, monkeypatch):
    monkeypatch.setattr("airflow_pgmq.db.client.bundled_pgmq", lambda: None)

    with pytest.raises(NotInstalled, match=r"airflow-provider-pgmq\[sql\]"):
        client_of(empty_database.dsn).install()


def test_pgmq_without_headers_is_too_old(empty_database):
    execute(
        empty_database,
        "CREATE SCHEMA pgmq; CREATE TABLE pgmq.meta (queue_name text);"
        "CREATE FUNCTION pgmq.send(text, jsonb, integer) RETURNS bigint LANGUAGE sql AS 'SELECT 1::bigint'",
    )

    with pytest.raises(FeatureMissing, match=r"older than 1\.5\.0"):
        client_of(empty_database.dsn).install()


def test_schema_that_is_newer_than_this_package_is_left_alone(database):
    execute(database, "INSERT INTO airflow_pgmq.migrations (number) VALUES (%s)", [NEWEST + 1])
    client = client_of(database.dsn)

    client.ensure_schema()

    assert client.install() == []


def test_parallel_threads_share_a_client(empty_database):
    client = client_of(empty_database.dsn)

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda _: client.ensure_schema(), range(8)))

    assert client.run(schema.version) == NEWEST


def test_a_role_that_may_create_schemas_can_install(empty_database):
    """What managed services give: no superuser, and no extension."""
    role = f"clerk_{empty_database.name}"
    execute(empty_database, f"CREATE ROLE {role} LOGIN")
    execute(empty_database, f"GRANT CREATE ON DATABASE {empty_database.name} TO {role}")
    clerk = client_of(empty_database.dsn, user=role)
    try:
        clerk.install()
        creating.create(clerk, "mail")
        assert statuses(send(clerk, "a", "a")) == ["sent", "duplicate"]
    finally:
        clerk.close()
        drop_role(empty_database, role)
