"""`PgmqMessageTrigger` on an event loop and a real server."""

from __future__ import annotations

import asyncio
import importlib
import json
import logging
from typing import Any

import pytest
from airflow.triggers.base import TriggerEvent

from airflow_pgmq.hooks import PgmqHook
from airflow_pgmq.triggers import PgmqMessageTrigger
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
    assert "create_queue" in payload["message"]


def test_it_waits_out_a_restart_of_the_server(
    own_database: Database, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    connection = {"conn_type": "postgres", "host": str(own_database.server.directory), "login": "postgres"}
    connection["schema"] = own_database.name
    monkeypatch.setenv("AIRFLOW_CONN_PGMQ_DEFAULT", json.dumps(connection))
    hook = PgmqHook()
    hook.create_queue("q")

    async def scenario() -> Any:
        trigger = PgmqMessageTrigger(queue_name="q", poll_interval=0.05)
        # Airflow's own logger writes past pytest.
        trigger._log = logging.getLogger("trigger")
        waiting = asyncio.create_task(fired(trigger))
        await asyncio.to_thread(own_database.server.stop, "immediate")
        while "cannot be reached" not in caplog.text:
            await asyncio.sleep(0.02)
        await asyncio.to_thread(own_database.server.start)
        assert not waiting.done()
        await asyncio.to_thread(hook.send, "q", "m")
        return await asyncio.wait_for(waiting, 30)

    assert asyncio.run(scenario()) == {"status": "ready"}
