"""Jobs of other schedulers, read from their tables."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING

import pytest

from airflow_pgmq.core.importing import django_celery_beat, pg_cron
from airflow_pgmq.core.jobs import PeriodicJob
from airflow_pgmq.db.statements import importing
from airflow_pgmq.errors import InvalidArgument
from airflow_pgmq.jobs import At, Every
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


#: What django-celery-beat makes of its models, as far as it is read.
DJANGO = (
    "CREATE TABLE django_celery_beat_intervalschedule (id int PRIMARY KEY, every int, period text)",
    "CREATE TABLE django_celery_beat_clockedschedule (id int PRIMARY KEY, clocked_time timestamptz)",
    "CREATE TABLE django_celery_beat_crontabschedule (id int PRIMARY KEY, minute text, hour text,"
    " day_of_week text, day_of_month text, month_of_year text, timezone text)",
    "CREATE TABLE django_celery_beat_periodictask (id int PRIMARY KEY, name text, task text, args text,"
    " kwargs text, queue text, exchange text, routing_key text, priority int, expires timestamptz,"
    " expire_seconds int, one_off boolean DEFAULT false, start_time timestamptz,"
    " enabled boolean DEFAULT true, interval_id int, clocked_id int, crontab_id int)",
    "INSERT INTO django_celery_beat_intervalschedule VALUES (1, 5, 'minutes')",
    "INSERT INTO django_celery_beat_clockedschedule VALUES (1, '2026-07-01 12:00Z')",
    "INSERT INTO django_celery_beat_crontabschedule VALUES (1, '0', '7', '*', '*', '*', 'Europe/Berlin')",
    "INSERT INTO django_celery_beat_periodictask (id, name, task, args, interval_id, clocked_id, crontab_id)"
    " VALUES (1, 'spaced', 't', '[1]', 1, NULL, NULL), (2, 'once', 't', '[]', NULL, 1, NULL),"
    " (3, 'daily', 't', '[]', NULL, NULL, 1), (4, 'own', 'celery.backend_cleanup', '[]', NULL, NULL, 1)",
)


def test_the_tables_of_django_celery_beat(client: Client, database: Database) -> None:
    for statement in DJANGO:
        execute(database, statement)
    found = django_celery_beat.read(client.run(importing.django_celery_beat_tasks), queue_name="mail")
    assert [(job.name, job.schedule or job.cron, job.timezone) for job in found.jobs] == [
        ("spaced", Every(timedelta(minutes=5)), "UTC"),
        ("once", At(datetime(2026, 7, 1, 12, tzinfo=timezone.utc)), "UTC"),
        ("daily", "0 7 * * *", "Europe/Berlin"),
    ]
    assert [refused.source for refused in found.refused] == ["own"]


def test_a_database_without_django_celery_beat(client: Client) -> None:
    with pytest.raises(InvalidArgument, match="no tables of django-celery-beat"):
        client.run(importing.django_celery_beat_tasks)
