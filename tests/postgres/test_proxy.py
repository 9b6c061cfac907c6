"""The proxy cuts connections at the right place."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from concurrent.futures import TimeoutError as FutureTimeout

import psycopg
import pytest

from tests.fixtures.factories import execute
from tests.fixtures.postgres import Database
from tests.fixtures.proxy import running_proxy


@pytest.mark.parametrize(("when", "rows"), [("before", 0), ("after", 1)])
def test_a_cut_before_or_after_the_commit_reached_the_server(
    database: Database, when: str, rows: int
) -> None:
    execute(database, "CREATE TABLE written (n integer)")
    with running_proxy(database) as proxy:
        conn = psycopg.connect(proxy.dsn)
        conn.execute("INSERT INTO public.written VALUES (1)")
        getattr(proxy, f"cut_{when}")(b"COMMIT")
        with pytest.raises(psycopg.OperationalError):
            conn.commit()
        assert conn.closed
        # The next one passes.
        with psycopg.connect(proxy.dsn) as other:
            assert other.execute("SELECT count(*) FROM public.written").fetchone() == (rows,)
        assert proxy.opened == 2


def test_what_is_stalled_passes_later(database: Database) -> None:
    with running_proxy(database) as proxy, psycopg.connect(proxy.dsn, autocommit=True) as conn:
        proxy.stall()
        with ThreadPoolExecutor(1) as pool:
            answer = pool.submit(conn.execute, "SELECT 1")
            with pytest.raises(FutureTimeout):
                answer.result(timeout=0.1)
            proxy.go_on()
            assert answer.result().fetchone() == (1,)
        proxy.cut_all()
        with pytest.raises(psycopg.OperationalError):
            conn.execute("SELECT 1")
