"""`PgmqMessageTrigger` on an event loop and a real server."""

from __future__ import annotations

import asyncio
import contextlib
import importlib
import json
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest
from airflow.triggers.base import TriggerEvent

from airflow_pgmq import settings
from airflow_pgmq.command_line import command
from airflow_pgmq.errors import QueueNotFound
from airflow_pgmq.hooks import PgmqHook
from airflow_pgmq.triggers import PgmqMessageTrigger
from tests.fixtures.factories import execute
from tests.fixtures.patience import within
from tests.fixtures.postgres import Database


async def fired(trigger: PgmqMessageTrigger) -> Any:
    async for event in trigger.run():
        assert isinstance(event, TriggerEvent)
        return event.payload
    raise AssertionError("the trigger ended without an event")


def test_parameters_survive_a_json_round_trip() -> None:
    trigger = PgmqMessageTrigger(
        queue_name="q",
        condition={"a": [1]},
        headers_condition={"job": "j"},
        ordered=True,
        min_messages=2,
        poll_interval=0.5,
    )
    path, kwargs = trigger.serialize()
    module, name = path.rsplit(".", 1)
    again = getattr(importlib.import_module(module), name)(**json.loads(json.dumps(kwargs)))
    assert again.serialize() == (path, kwargs)


def test_it_only_looks(pgmq_connection: str) -> None:
    hook = PgmqHook()
    hook.create_queue("q")
    hook.send_batch("q", [{"a": 1}, {"a": 1}])
    trigger = PgmqMessageTrigger(queue_name="q", condition={"a": 1}, min_messages=2)
    assert asyncio.run(fired(trigger)) == {"status": "ready"}
    assert [message.read_ct for message in hook.read("q", max_messages=5)] == [1, 1]


def test_a_mistake_ends_the_wait_with_its_reason(pgmq_connection: str) -> None:
    payload = asyncio.run(fired(PgmqMessageTrigger(queue_name="nowhere")))
    assert payload["status"] == "error"
    assert command("init nowhere") in payload["message"]


def test_it_waits_out_a_restart_of_the_server(
    own_database: Database, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    connection = {"conn_type": "postgres", "host": str(own_database.server.directory), "login": "postgres"}
    connection["schema"] = own_database.name
    monkeypatch.setenv("AIRFLOW_CONN_PGMQ_DEFAULT", json.dumps(connection))
    hook = PgmqHook()
    hook.create_queue("q")

    async def scenario() -> Any:
        waiting = asyncio.create_task(fired(PgmqMessageTrigger(queue_name="q")))
        await connected()
        await asyncio.to_thread(own_database.server.stop, "immediate")
        while "lost Postgres" not in caplog.text:
            await asyncio.sleep(0.02)
        await asyncio.to_thread(own_database.server.start)
        assert not waiting.done()
        await asyncio.to_thread(hook.send, "q", "m")
        return await within(waiting, 30)

    assert asyncio.run(scenario()) == {"status": "ready"}
    assert caplog.text.count("lost Postgres") == 1


async def connected() -> None:
    """Wait until this loop's watcher listens."""
    watcher = await PgmqHook().watcher()
    while not watcher._listener.current:
        await asyncio.sleep(0.02)


def test_many_look_the_connection_up_once_and_share_what_it_leads_to(
    database: Database, pgmq_connection: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    hook = PgmqHook()
    for number in range(5):
        hook.create_queue(f"q{number}")
    lookups: list[str] = []
    look_up = PgmqHook.connection_arguments

    def counted(self: PgmqHook) -> dict[str, Any]:
        lookups.append(self.pgmq_conn_id)
        return {**look_up(self), "application_name": "waiters"}

    monkeypatch.setattr(PgmqHook, "connection_arguments", counted)
    # Each answer of Airflow's configuration holds the loop up a little.
    limits = settings.limits
    monkeypatch.setattr(settings, "limits", lambda: (lookups.append("limits"), limits())[1])

    async def scenario() -> list[Any]:
        triggers = [PgmqMessageTrigger(queue_name=f"q{number % 5}") for number in range(200)]
        tasks = [asyncio.create_task(fired(trigger)) for trigger in triggers]
        await connected()
        assert lookups == ["pgmq_default", "limits"]
        query = "SELECT count(*) AS n FROM pg_stat_activity WHERE application_name = 'waiters'"
        assert execute(database, query)[0]["n"] <= 3
        for number in range(5):
            execute(database, "SELECT pgmq.send_batch(%s, array_fill('1'::jsonb, ARRAY[40]))", [f"q{number}"])
        return await within(asyncio.gather(*tasks), 30)

    assert asyncio.run(scenario()) == [{"status": "ready"}] * 200


def test_a_lookup_that_fails_is_not_remembered(
    database: Database, monkeypatch: pytest.MonkeyPatch, pgmq_connection: str
) -> None:
    hook = PgmqHook()
    hook.create_queue("q")
    hook.send("q", "m")
    look_up = PgmqHook.connection_arguments
    failures = [RuntimeError("the secrets backend is away")]

    def failing(self: PgmqHook) -> dict[str, Any]:
        if failures:
            raise failures.pop()
        return look_up(self)

    monkeypatch.setattr(PgmqHook, "connection_arguments", failing)

    async def scenario() -> Any:
        with pytest.raises(RuntimeError):
            await fired(PgmqMessageTrigger(queue_name="q"))
        return await fired(PgmqMessageTrigger(queue_name="q"))

    assert asyncio.run(scenario()) == {"status": "ready"}


def test_a_trigger_that_is_cancelled_leaves_at_once(pgmq_connection: str) -> None:
    """As on a reassignment, and when the task is cleared."""
    PgmqHook().create_queue("q")

    async def scenario() -> None:
        task = asyncio.create_task(fired(PgmqMessageTrigger(queue_name="q")))
        await connected()
        task.cancel()
        await asyncio.wait([task], timeout=5)
        assert task.cancelled()

    asyncio.run(scenario())


def test_it_gives_up_at_its_deadline(pgmq_connection: str) -> None:
    PgmqHook().create_queue("q")
    deadline = datetime.now(timezone.utc) + timedelta(seconds=0.3)
    trigger = PgmqMessageTrigger(queue_name="q", deadline=deadline.isoformat())
    assert asyncio.run(fired(trigger)) == {"status": "timeout"}
    assert datetime.now(timezone.utc) >= deadline
    # A triggerer that comes late tells at once; a deadline may be written with a Z on each Python.
    late = PgmqMessageTrigger(queue_name="q", deadline=deadline.isoformat().replace("+00:00", "Z"))
    assert asyncio.run(fired(late)) == {"status": "timeout"}


# The same in plain Python.


def test_the_hook_waits(pgmq_connection: str) -> None:
    hook = PgmqHook()
    hook.create_queue("q")
    hook.send_batch("q", [{"a": 1}, {"a": 2}], delays=1)
    visible = hook.wait("q", condition={"a": 2}, timeout=timedelta(seconds=30))
    assert visible.count == 1
    assert visible.oldest == hook.read("q", condition={"a": 2})[0].enqueued_at
    with pytest.raises(TimeoutError, match="Not enough messages"):
        hook.wait("q", min_messages=9, timeout=0.2)
    with pytest.raises(QueueNotFound):
        hook.wait("nowhere")


def test_each_of_many_short_waits_ends(pgmq_connection: str) -> None:
    """On Python 3.10 the driver loses a cancellation in one of thirty."""
    hook = PgmqHook()
    hook.create_queue("q")
    hook.send("q", {"a": 1})
    for number in range(100):
        with contextlib.suppress(TimeoutError):
            hook.wait("q", timeout=number % 20 / 1000)
