"""Statements that are prepared: what their plans look like when their tables have grown."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from airflow_pgmq.db.client import Client, Connection
from airflow_pgmq.db.driver import plans
from airflow_pgmq.db.statements import Statement
from tests.fixtures.postgres import Database

pytestmark = pytest.mark.direct("behind a pooler nothing is prepared")

FIND: Statement[Any] = Statement(
    "find", {"id": 1}, script="SELECT id FROM public.grows WHERE id = %(id)s", is_prepared=True
)


@pytest.fixture
def later(monkeypatch: pytest.MonkeyPatch) -> Callable[[float], None]:
    seconds = 0.0

    def pass_(more: float) -> None:
        nonlocal seconds
        seconds += more

    monkeypatch.setattr(plans, "monotonic", lambda: seconds)
    return pass_


def plan(conn: Connection) -> str:
    (name,) = conn.execute("SELECT name FROM pg_prepared_statements").fetchone()  # type: ignore[misc]
    return "\n".join(row[0] for row in conn.execute(f"EXPLAIN EXECUTE {name} (1)", prepare=False))


def test_a_plan_is_made_anew_when_it_is_old(
    client: Client, database: Database, later: Callable[[float], None]
) -> None:
    with client.connection() as conn:
        conn.execute("CREATE TABLE public.grows (id integer PRIMARY KEY) WITH (autovacuum_enabled = off)")
        conn.execute("INSERT INTO public.grows VALUES (1)")
        conn.execute("ANALYZE public.grows")
        for _ in range(10):
            client.attempt(lambda: FIND, conn)
        # The table has one page: nothing is faster than to look at all of it.
        assert "Seq Scan" in plan(conn)
        conn.execute("INSERT INTO public.grows SELECT generate_series(2, 50000)")
        later(plans.MAX_AGE)
        client.attempt(lambda: FIND, conn)
        assert "Seq Scan" in plan(conn)
        later(0.1)
        client.attempt(lambda: FIND, conn)
        assert "Index" in plan(conn)


def test_a_failed_transaction_is_told_as_what_it_is(
    client: Client, database: Database, later: Callable[[float], None]
) -> None:
    with client.connection() as conn:
        conn.execute("CREATE TABLE public.grows (id integer PRIMARY KEY)")
        client.attempt(lambda: FIND, conn)
        later(plans.MAX_AGE + 1)
        conn.execute("DROP TABLE public.grows")
        with pytest.raises(Exception, match="grows"):
            client.attempt(lambda: FIND, conn)
