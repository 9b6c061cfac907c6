"""A wrong password, a missing role or database: a waiter fails and does not wait as in an outage."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterator
from typing import Any

import pytest

from airflow_pgmq.db.client import connect
from airflow_pgmq.db.local import LocalPostgres
from airflow_pgmq.db.statements import watching
from airflow_pgmq.errors import NotConnected
from airflow_pgmq.services.waiting import Watcher
from tests.fixtures.factories import QUEUE, client_of, execute
from tests.fixtures.postgres import SETTINGS, Database, prepare_template
from tests.fixtures.services import free_ports
from tests.postgres.watching import arguments, make_queue, put, soon, until

pytestmark = pytest.mark.direct("a pooler has users and databases of its own")

WRONG = "until this is corrected"


@pytest.fixture
def guarded() -> Iterator[Database]:
    """A server that asks for a password on TCP, and a role that has one."""
    [port] = free_ports(1)
    with LocalPostgres(settings=SETTINGS, port=port) as server:
        prepare_template(server.dsn())
        database = Database(server, "postgres")
        make_queue(client_of(database.dsn), QUEUE)
        hba = server.directory / "data" / "pg_hba.conf"
        hba.write_text("local all all trust\nhost all all 127.0.0.1/32 scram-sha-256\n")
        execute(database, "SELECT pg_reload_conf()")
        execute(database, "CREATE ROLE reader LOGIN SUPERUSER PASSWORD 'right'")
        yield database


def far(database: Database, **wrong: Any) -> dict[str, Any]:
    way = {"host": "127.0.0.1", "port": database.server.port, "user": "reader", "password": "right"}
    return {**arguments(database), **way, **wrong}


@pytest.mark.parametrize(
    ("wrong", "why"),
    [
        ({"password": "wrong"}, "password authentication failed"),
        ({"password": None}, "password"),
        ({"user": "nobody"}, "nobody"),
        ({"dbname": "nowhere"}, 'database "nowhere" does not exist'),
        ({"options": "-c no_such_parameter=1"}, "no_such_parameter"),
    ],
)
def test_waiters_are_told_at_once(guarded: Database, wrong: dict[str, Any], why: str) -> None:
    async def scenario() -> None:
        watcher = Watcher(far(guarded, **wrong))
        waits = [watcher.wait(QUEUE), watcher.wait(QUEUE, condition={"n": 1}), watcher.wait("other")]
        for told in await soon(asyncio.gather(*waits, return_exceptions=True)):
            assert isinstance(told, NotConnected)
            assert why in str(told)
            assert told.is_mistake
        with pytest.raises(NotConnected, match=why):
            await soon(watcher.run(watching.alive()))
        await watcher.close()

    asyncio.run(scenario())


def test_it_is_logged_once_and_a_waiter_after_the_correction_works(
    guarded: Database, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "airflow_pgmq")
    put(guarded, QUEUE)

    async def scenario() -> None:
        watcher = Watcher(far(guarded, password="wrong"))
        for _ in range(3):
            with pytest.raises(NotConnected):
                await soon(watcher.wait(QUEUE))
        assert [record.levelname for record in caplog.records if WRONG in record.getMessage()] == ["ERROR"]
        execute(guarded, "ALTER ROLE reader PASSWORD 'wrong'")
        await until(lambda: any("Postgres is back" in r.getMessage() for r in caplog.records), "it is back")
        assert (await soon(watcher.wait(QUEUE))).count == 1
        await watcher.close()

    asyncio.run(scenario())


def test_a_password_that_was_changed_is_looked_up_before_anybody_is_told(guarded: Database) -> None:
    """A token may have expired since it was read."""
    put(guarded, QUEUE)
    asked = 0

    async def look_up() -> dict[str, Any]:
        nonlocal asked
        asked += 1
        return far(guarded)

    async def scenario() -> None:
        watcher = Watcher(far(guarded, password="old"), refresh=look_up)
        assert (await soon(watcher.wait(QUEUE))).count == 1
        await watcher.close()

    asyncio.run(scenario())
    assert asked


def test_a_hook_says_the_same_of_its_own_connections(guarded: Database) -> None:
    with pytest.raises(NotConnected) as told:
        connect(far(guarded, password="wrong"))
    assert told.value.is_mistake
    with pytest.raises(NotConnected) as told:
        connect(far(guarded, port=1))
    assert not told.value.is_mistake
