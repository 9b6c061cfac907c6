"""A hook keeps its connection between calls: checked, renewed, never shared with a child or a copy."""

from __future__ import annotations

import copy
import gc
import json
import os
import pickle
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import psycopg
import pytest

from airflow_pgmq.db import connection_cache
from airflow_pgmq.db.client import is_open
from airflow_pgmq.db.connection_cache import ConnectionCache
from airflow_pgmq.errors import DuplicateMessage, NotConnected
from airflow_pgmq.hooks import PgmqHook
from tests.fixtures.factories import QUEUE, execute, keys_in, queued
from tests.fixtures.patience import wait_until
from tests.fixtures.postgres import Database
from tests.fixtures.proxy import Proxy

pytestmark = pytest.mark.direct("counts and ends sessions of the server, not of a pooler")


@pytest.fixture
def hook(proxy: Proxy, database: Database, monkeypatch: pytest.MonkeyPatch) -> PgmqHook:
    connection = {"conn_type": "pgmq", "host": proxy.host, "port": proxy.port, "schema": database.name}
    connection |= {"login": "postgres", "extra": {"sslmode": "disable", "gssencmode": "disable"}}
    connection["extra"]["application_name"] = "kept"
    monkeypatch.setenv("AIRFLOW_CONN_PROXIED", json.dumps(connection))
    return PgmqHook("proxied")


def sessions(database: Database) -> list[int]:
    rows = execute(
        database,
        "SELECT pid FROM pg_stat_activity WHERE application_name = 'kept' AND datname = current_database()",
    )
    return [row["pid"] for row in rows]


def end_sessions(database: Database) -> None:
    execute(
        database,
        "SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity"
        " WHERE application_name = 'kept' AND datname = current_database()",
    )


def send(hook: PgmqHook, key: str | None = None) -> str:
    return hook.send(QUEUE, 1, dedup_key=key).status


def read_and_archive(hook: PgmqHook) -> None:
    hook.archive(QUEUE, hook.read(QUEUE))


def consume(hook: PgmqHook) -> None:
    with hook.consume(QUEUE) as messages:
        send(hook)
        assert len(messages) == 1


CALLS: dict[str, tuple[Callable[[PgmqHook], Any], int]] = {
    "send": (send, 1),
    "send, plain and keyed": (lambda hook: (send(hook), send(hook, "a"), send(hook, "b")), 1),
    "read and archive": (read_and_archive, 1),
    "consume, and send from its block": (consume, 2),
}


@pytest.mark.parametrize("call", CALLS)
def test_many_calls_use_the_same_connections(hook: PgmqHook, proxy: Proxy, call: str) -> None:
    work, connections = CALLS[call]
    send(hook)
    for _ in range(50):
        work(hook)
    assert proxy.opened == connections


def test_the_airflow_connection_is_looked_up_once(hook: PgmqHook, monkeypatch: pytest.MonkeyPatch) -> None:
    send(hook)
    monkeypatch.delenv("AIRFLOW_CONN_PROXIED")
    hook.close()
    assert send(hook) == "sent"


def test_it_is_looked_up_again_if_the_server_refuses_it(
    hook: PgmqHook, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    good = os.environ["AIRFLOW_CONN_PROXIED"]
    monkeypatch.setenv("AIRFLOW_CONN_PROXIED", good.replace('"postgres"', '"nobody_here"'))
    with pytest.raises(NotConnected):
        send(hook)
    monkeypatch.setenv("AIRFLOW_CONN_PROXIED", good)
    assert send(hook) == "sent"


def test_one_that_was_ended_meanwhile_is_renewed(hook: PgmqHook, proxy: Proxy, database: Database) -> None:
    send(hook)
    end_sessions(database)
    assert [send(hook), send(hook, "a")] == ["sent", "sent"]
    assert proxy.opened == 2
    assert len(queued(database)) == 3


def test_one_that_is_old_is_renewed(hook: PgmqHook, proxy: Proxy, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection_cache, "MAX_AGE", 0)
    send(hook)
    send(hook)
    assert proxy.opened == 2


def test_an_old_one_is_closed_although_younger_ones_came_back_before(hook: PgmqHook) -> None:
    """A revoked login must not stay connected because another key is used."""
    cache = ConnectionCache(5, is_open)
    old, young = (cache.take(key, hook.client.open) for key in ("a", "b"))
    cache.give_back(young, young)
    cache.give_back(old, old)
    cache._idle[-1].opened -= connection_cache.MAX_AGE
    again = cache.take("b", hook.client.open)
    assert again is young
    cache.give_back(again, again)
    assert old.closed
    assert [each.conn for each in cache._idle] == [young]
    cache.close()


def test_one_that_was_lent_is_back_also_if_its_block_could_not_end(hook: PgmqHook) -> None:
    """An interrupt came before `__exit__`."""
    loan = hook.client.connection()
    conn = loan.__enter__()
    del loan
    gc.collect()
    with hook.client.connection() as again:
        assert again is conn


@pytest.mark.parametrize("when", ["before", "after"])
def test_a_keyed_send_without_an_answer_is_sent_again(
    hook: PgmqHook, proxy: Proxy, database: Database, when: str
) -> None:
    send(hook, "a")
    (proxy.cut_before if when == "before" else proxy.cut_after)(b"key-of-the-test")
    assert send(hook, "key-of-the-test") == ("sent" if when == "before" else "duplicate")
    assert keys_in(database) == ["a", "key-of-the-test"]


@pytest.mark.parametrize("when", ["before", "after"])
def test_one_without_a_key_is_never_sent_again(
    hook: PgmqHook, proxy: Proxy, database: Database, when: str
) -> None:
    send(hook)
    (proxy.cut_before if when == "before" else proxy.cut_after)(b"text-of-the-test")
    with pytest.raises(psycopg.OperationalError):
        hook.send(QUEUE, "text-of-the-test")
    assert len(queued(database)) == (1 if when == "before" else 2)
    assert send(hook) == "sent"


def test_nor_one_that_must_not_be_a_duplicate(hook: PgmqHook, proxy: Proxy, database: Database) -> None:
    send(hook, "a")
    proxy.cut_after(b"key-of-the-test")
    with pytest.raises(psycopg.OperationalError):
        hook.send(QUEUE, 1, dedup_key="key-of-the-test", on_duplicate="fail")
    assert len(queued(database)) == 2


def test_after_an_error_it_is_in_no_transaction(hook: PgmqHook, proxy: Proxy, database: Database) -> None:
    send(hook, "a")
    with pytest.raises(DuplicateMessage):
        hook.send(QUEUE, 1, dedup_key="a", on_duplicate="fail")
    with pytest.raises(ZeroDivisionError), hook.consume(QUEUE):
        raise ZeroDivisionError
    rows = execute(
        database,
        "SELECT state FROM pg_stat_activity WHERE application_name = 'kept' AND datname = current_database()",
    )
    assert {row["state"] for row in rows} == {"idle"}


def test_the_hook_ends_plainly(hook: PgmqHook, database: Database) -> None:
    with hook as same:
        send(same)
        assert len(sessions(database)) == 1
    wait_until(lambda: not sessions(database), "it is closed")
    assert send(hook) == "sent"


def test_it_is_closed_with_the_hook(hook: PgmqHook, database: Database) -> None:
    mine = PgmqHook("proxied")
    send(mine)
    del mine
    gc.collect()
    wait_until(lambda: not sessions(database), "it is closed")


@pytest.mark.parametrize("make", [copy.copy, copy.deepcopy, lambda hook: pickle.loads(pickle.dumps(hook))])
def test_a_copy_has_one_of_its_own(hook: PgmqHook, proxy: Proxy, make: Any) -> None:
    send(hook)
    copied = make(hook)
    send(copied)
    copied.close()
    send(hook)
    assert proxy.opened == 2


def test_a_forked_child_leaves_it_to_its_parent(hook: PgmqHook, proxy: Proxy, database: Database) -> None:
    send(hook, "parent")
    before = sessions(database)
    child = os.fork()
    if child == 0:
        status = 1
        try:
            hook.send(QUEUE, 1, dedup_key="child")
            hook.close()
            del hook
            gc.collect()
            status = 0
        finally:
            os._exit(status)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert send(hook, "parent again") == "sent"
    assert keys_in(database) == ["parent", "child", "parent again"]
    assert sessions(database) == before


def test_a_child_that_is_forked_in_a_block_does_not_end_it(
    hook: PgmqHook, proxy: Proxy, database: Database
) -> None:
    send(hook)
    with hook.consume(QUEUE) as messages:
        child = os.fork()
        if child == 0:
            status = 1
            try:
                hook.send(QUEUE, 1, dedup_key="child")
                status = 0
            finally:
                os._exit(status)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
        assert len(messages) == 1
    assert keys_in(database) == ["child"]


def test_threads_share_it(hook: PgmqHook, proxy: Proxy, database: Database) -> None:
    together = threading.Barrier(8, timeout=60)

    def work(thread: int) -> None:
        together.wait()
        for number in range(25):
            send(hook, f"{thread}/{number}")

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(work, range(8)))
    assert len(set(keys_in(database))) == 200
    assert len(sessions(database)) <= 2


def test_a_prepared_send_goes_on_with_another_queue_of_the_name(hook: PgmqHook, database: Database) -> None:
    assert [send(hook, "a"), send(hook, "a")] == ["sent", "duplicate"]
    execute(database, "SELECT pgmq.drop_queue(%s)", [QUEUE])
    execute(database, "SELECT pgmq.create(%s)", [QUEUE])
    assert [send(hook, "a"), send(hook)] == ["sent", "sent"]
    execute(database, "DROP SCHEMA airflow_pgmq CASCADE")
    hook.install()
    assert send(hook, "a") == "sent"


@pytest.mark.parametrize("how", ["fast", "immediate"])
def test_what_a_server_ended_is_not_used_again(
    own_database: Database, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    """Nobody could say whether a message was sent on it. A crash is announced by a warning, not an error."""
    connection = {"conn_type": "pgmq", "host": str(own_database.server.directory), "login": "postgres"}
    monkeypatch.setenv("AIRFLOW_CONN_ENDED", json.dumps({**connection, "schema": own_database.name}))
    hook = PgmqHook("ended")
    hook.create_queue(QUEUE)
    assert send(hook) == "sent"
    own_database.server.restart(how)
    assert send(hook) == "sent"
    assert len(queued(own_database)) == 2
