"""Jobs of pg_cron, read from its table."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from airflow_pgmq.core.importing import pg_cron
from airflow_pgmq.core.jobs import PeriodicJob
from airflow_pgmq.db.statements import importing
from airflow_pgmq.errors import InvalidArgument
from tests.fixtures.factories import execute

if TYPE_CHECKING:
    from airflow_pgmq.core.importing.imported import Imported
    from airflow_pgmq.db.client import Client
    from tests.fixtures.postgres import Database

#: As pg_cron 1.0 makes it; later versions add a column for the name.
TABLE = (
    "CREATE TABLE cron.job (jobid bigint PRIMARY KEY, schedule text NOT NULL, command text NOT NULL,"
    " nodename text NOT NULL DEFAULT 'localhost', nodeport int NOT NULL DEFAULT 5432,"
    " database text NOT NULL DEFAULT 'shop', username text NOT NULL DEFAULT 'clerk',"
    " active boolean NOT NULL DEFAULT true)"
)


@pytest.fixture
def cron(database: Database) -> Database:
    execute(database, "CREATE SCHEMA cron")
    execute(database, TABLE)
    return database


def read(client: Client) -> Imported:
    return pg_cron.read(client.run(importing.pg_cron_jobs), queue_name="mail")


def test_the_rows_of_the_table(client: Client, cron: Database) -> None:
    execute(cron, "ALTER TABLE cron.job ADD COLUMN jobname text")
    execute(
        cron,
        "INSERT INTO cron.job (jobid, schedule, command, jobname, active) VALUES"
        " (2, '0 12 $ * *', 'SELECT 1', 'month', true), (1, '0 3 * * *', 'VACUUM', NULL, true),"
        " (3, '@daily', 'SELECT 2', 'off', false)",
    )
    found = read(client)
    more = {"database": "shop", "username": "clerk"}
    assert list(found.jobs) == [
        PeriodicJob(name="job-1", cron="0 3 * * *", queue_name="mail", message={"sql": "VACUUM", **more}),
        PeriodicJob(name="month", cron="0 12 L * *", queue_name="mail", message={"sql": "SELECT 1", **more}),
    ]
    assert [refused.source for refused in found.refused] == ["off"]


def test_an_old_table_has_no_names(client: Client, cron: Database) -> None:
    execute(cron, "INSERT INTO cron.job (jobid, schedule, command) VALUES (5, '0 3 * * *', 'VACUUM')")
    assert [job.name for job in read(client).jobs] == ["job-5"]


def test_a_database_without_pg_cron(client: Client) -> None:
    with pytest.raises(InvalidArgument, match=r"no table cron\.job in this database.*cron\.database_name"):
        read(client)
