"""What other schedulers keep in the database, to make periodic jobs of it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from airflow_pgmq.core.messages import Row
from airflow_pgmq.db.refusals import UNDEFINED_TABLE, Refusal
from airflow_pgmq.db.statements import Flow, Statement, column
from airflow_pgmq.errors import InvalidArgument

_DJANGO = ("periodictask", "intervalschedule", "clockedschedule", "crontabschedule")


def pg_cron_jobs() -> Statement[Sequence[Row]]:
    """The rows of `cron.job`, which is in one database of a server: the one that `cron.database_name` names.

    By pg_cron's row level security, a role sees its own jobs unless it is a superuser.
    """
    return Statement("pg_cron_jobs", decode=list, errors={UNDEFINED_TABLE: _no_pg_cron})


def django_celery_beat_tasks() -> Flow[Sequence[Row]]:
    """The tasks of django-celery-beat with their schedules, in the first schema that has them.

    :raises InvalidArgument: none has
    """
    schemas = yield Statement("django_schemas", decode=column("schema"))
    if not schemas:
        raise InvalidArgument(
            "There are no tables of django-celery-beat (django_celery_beat_periodictask and others) in this "
            "database: use a connection to Django's database."
        )
    tables = {name: (schemas[0], f"django_celery_beat_{name}") for name in _DJANGO}
    rows: Sequence[Row] = yield Statement("django_celery_beat_tasks", identifiers=tables, decode=list)
    return rows


def _no_pg_cron(statement: Statement[Any], refusal: Refusal) -> InvalidArgument:
    return InvalidArgument(
        "There is no table cron.job in this database. pg_cron keeps it in the one that the setting "
        "cron.database_name names (postgres by default): use a connection to that database."
    )
