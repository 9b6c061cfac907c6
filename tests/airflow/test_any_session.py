"""Every verb gives the same answer whatever server, database, role, pooler and caller set in a session."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import ExitStack
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from psycopg.pq import TransactionStatus

from tests.airflow.tour import OTHERS, VERBS, Site, assert_same
from tests.fixtures.airflow import connection_to
from tests.fixtures.factories import execute
from tests.fixtures.pooler import running_pooler
from tests.fixtures.postgres import new_database
from tests.fixtures.profiles import PLAIN, POOL_SIZE, Profile

if TYPE_CHECKING:
    import psycopg

    from airflow_pgmq.db.local import LocalPostgres

#: What a caller may have done before.
CALLERS = {
    "TimeZone": "Asia/Tokyo",
    "DateStyle": "German",
    "IntervalStyle": "iso_8601",
    "bytea_output": "escape",
    "client_encoding": "LATIN1",
    "default_transaction_isolation": "repeatable read",
    "extra_float_digits": "-3",
    "idle_in_transaction_session_timeout": "58s",
    "lock_timeout": "59s",
    "search_path": "",
    "statement_timeout": "1h",
}


@pytest.fixture(params=["direct", "pooled"])
def sites(
    request: pytest.FixtureRequest,
    postgres_server: LocalPostgres,
    pgmq_template: str,
    hostile: Profile,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[tuple[Site, Site]]:
    """A database with default settings, and one with unusual session settings, maybe behind a pooler."""
    with ExitStack() as stack:
        port = None
        if request.param == "pooled":
            pooler = running_pooler(postgres_server, tmp_path, "transaction", POOL_SIZE)
            port = stack.enter_context(pooler)
        both, minute = [], (datetime.now(timezone.utc).minute + 30) % 60
        for name, profile, through in (("friendly", PLAIN, None), ("hostile", hostile, port)):
            database = stack.enter_context(new_database(postgres_server, pgmq_template, profile, through))
            execute(database, "CREATE TABLE public.landed (at timestamptz, n int)")
            monkeypatch.setenv(f"AIRFLOW_CONN_{name.upper()}", json.dumps(connection_to(database)))
            both.append(Site(database, name, minute))
        yield both[0], both[1]


def test_on_connections_of_our_own(sites: tuple[Site, Site]) -> None:
    for what, verb in {**VERBS, **OTHERS}.items():
        one, other = map(verb, sites)
        assert_same(_named(sites[0], one), _named(sites[1], other), what)
        assert_same(sites[0].left(), sites[1].left(), f"after {what}")


@pytest.mark.parametrize("autocommit", [True, False])
def test_on_a_callers_connection_whose_session_stays_as_it_is(
    sites: tuple[Site, Site], autocommit: bool
) -> None:
    friendly, other = sites
    with friendly.database.connect() as one, other.database.connect() as two:
        for site, connection in zip(sites, (one, two), strict=True):
            connection.autocommit = autocommit
            site.more["conn"] = connection
        if other.database.port is None:
            for name, value in CALLERS.items():
                two.execute("SELECT set_config(%s, %s, false)", [name, value])
            two.commit()
        for what, verb in VERBS.items():
            answers = []
            for site, connection in zip(sites, (one, two), strict=True):
                before = _settings(connection)
                # Its transaction begins with the verb.
                connection.rollback()
                answers.append(_named(site, verb(site)))
                assert _settings(connection) == before, what
                status = TransactionStatus.IDLE if autocommit else TransactionStatus.INTRANS
                assert connection.info.transaction_status == status, what
                connection.commit()
            assert_same(*answers, what)
            assert_same(friendly.left(), other.left(), f"after {what}")


def _settings(connection: psycopg.Connection[Any]) -> dict[str, str]:
    # A pooler's session has the name of its earlier client, and PL/pgSQL has settings after its first use.
    statement = "SELECT name, setting FROM pg_settings WHERE name !~ '^(application_name|plpgsql.*)$'"
    return dict(connection.execute(statement, prepare=False).fetchall())


def _named(site: Site, answer: Any) -> Any:
    """The text without the name of its database."""
    if isinstance(answer, str):
        return answer.replace(site.database.name, "…")
    if isinstance(answer, tuple):
        return tuple(_named(site, each) for each in answer)
    return answer
