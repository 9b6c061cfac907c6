"""`PgmqEventTrigger` as a doorbell, on an event loop and a real server; queues as Airflow's assets."""

from __future__ import annotations

import asyncio
import inspect
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from time import monotonic
from typing import Any

import pytest
from airflow.exceptions import AirflowOptionalProviderFeatureException
from airflow.sdk import Asset, AssetWatcher
from airflow.triggers.base import BaseEventTrigger

from airflow_pgmq import assets
from airflow_pgmq.errors import InvalidArgument, InvalidName
from airflow_pgmq.hooks import PgmqHook
from airflow_pgmq.triggers import PgmqEventTrigger
from tests.fixtures.patience import within

try:
    import airflow_pgmq.triggers.shared_stream  # noqa: F401

    HAS_SHARED_STREAMS = True
except AirflowOptionalProviderFeatureException:
    HAS_SHARED_STREAMS = False

needs_shared_streams = pytest.mark.skipif(not HAS_SHARED_STREAMS, reason="new in Airflow 3.3")


@pytest.fixture
def hook(pgmq_connection: str) -> PgmqHook:
    hook = PgmqHook()
    hook.create_queue("q")
    return hook


@asynccontextmanager
async def ringing(**parameters: Any) -> AsyncIterator[list[tuple[float, dict[str, Any]]]]:
    """The rings of a bell so far, each with its time."""
    trigger = PgmqEventTrigger(**{"queue_name": "q", "ring_interval": 0.5, **parameters})
    rings: list[tuple[float, dict[str, Any]]] = []

    async def listen() -> None:
        async for event in trigger.run():
            rings.append((monotonic(), event.payload))

    task = asyncio.create_task(listen())
    try:
        yield rings
        assert not task.done()
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def noted(text: str, caplog: Any, capsys: Any) -> None:
    """Wait for the trigger's log, which goes to standard output or to `logging`, as Airflow has it."""
    while text not in caplog.text + capsys.readouterr().out:
        await asyncio.sleep(0.02)


async def rung(rings: list[Any], count: int) -> None:
    while len(rings) < count:
        await asyncio.sleep(0.02)


def test_it_rings_once_for_a_burst_and_reads_nothing(hook):
    async def scenario() -> None:
        async with ringing(ring_interval=60) as rings:
            hook.send_batch("q", [{"n": n} for n in range(20)])
            await within(rung(rings, 1), 10)
            # A second ring would have come by now.
            await asyncio.sleep(0.3)
            [(_, event)] = rings
            assert (event["queue_name"], event["visible"]) == ("q", 20)
            assert json.loads(json.dumps(event)) == event

    asyncio.run(scenario())
    assert {message.read_ct for message in hook.read("q", max_messages=20)} == {1}


def test_in_order_it_rings_for_what_may_be_read(hook):
    async def scenario() -> None:
        hook.send_batch("q", [1, 2], group="a")
        [head] = hook.read("q", visibility_timeout=60, ordered=True)
        async with ringing(ordered=True) as rings, ringing() as plain:
            await within(rung(plain, 1), 10)
            assert rings == []
            await asyncio.to_thread(hook.archive, "q", head)
            await within(rung(rings, 1), 10)
            assert rings[0][1]["visible"] == 1

    asyncio.run(scenario())


def test_it_names_the_slots_of_periodic_jobs(hook):
    slots = ["2026-01-01T06:00:00Z", "2026-01-02T06:00:00Z"]

    async def scenario() -> None:
        hook.send_batch("q", [{}] * 3, headers=[{"slot": slot} for slot in reversed(slots)] + [{}])
        async with ringing(ring_interval=60) as rings:
            await within(rung(rings, 1), 10)
            assert rings[0][1]["slots"] == slots

    asyncio.run(scenario())


def test_it_is_silent_while_the_queue_is_paused(hook):
    async def scenario() -> None:
        await asyncio.to_thread(hook.pause_queue, "q")
        hook.send("q", {})
        async with ringing() as rings:
            # Three times the interval without a ring.
            await asyncio.sleep(1.5)
            hook.send("q", {})
            # A notification would have rung by now.
            await asyncio.sleep(0.5)
            assert rings == []
            await asyncio.to_thread(hook.resume_queue, "q")
            await within(rung(rings, 1), 10)
            assert rings[0][1]["visible"] == 2

            await asyncio.to_thread(hook.pause_queue, "q")
            # A look that still saw the messages may be running.
            await asyncio.sleep(0.6)
            silent = len(rings)
            # Longer than the interval of the last rings.
            await asyncio.sleep(1.5)
            assert len(rings) == silent

    asyncio.run(scenario())


def test_it_rings_again_while_nobody_reads_and_each_time_later(hook):
    async def scenario() -> None:
        hook.send("q", {})
        async with ringing() as rings:
            await within(rung(rings, 3), 15)
            (first, _), (second, _), (third, _) = rings[:3]
            assert second - first >= 0.5
            assert third - second >= 1
            await asyncio.to_thread(lambda: hook.archive("q", hook.read("q")))
            # A look that still saw the message may be running.
            await asyncio.sleep(0.6)
            silent = len(rings)
            # Longer than the interval of the last rings.
            await asyncio.sleep(1.2)
            assert len(rings) == silent

    asyncio.run(scenario())


def test_it_is_silent_while_messages_are_worked_on(hook):
    """Each ring would be a run of its own on Airflow 3.4."""

    async def scenario() -> None:
        hook.send_batch("q", [{"n": n} for n in range(3)])
        async with ringing() as rings:
            await within(rung(rings, 1), 10)
            (held,) = await asyncio.to_thread(hook.read, "q", visibility_timeout=60)
            # Six times the interval without a ring.
            await asyncio.sleep(3)
            assert len(rings) == 1
            await asyncio.to_thread(hook.release, "q", held)
            await within(rung(rings, 2), 10)

    asyncio.run(scenario())


def test_what_was_given_back_for_later_keeps_it_silent_for_nobody(hook):
    """A message that waits for its next try is hidden, too, but nobody holds it."""

    async def scenario() -> None:
        hook.send("q", {"n": 1})
        async with ringing() as rings:
            await within(rung(rings, 1), 10)
            await asyncio.to_thread(lambda: hook.release("q", hook.read("q"), delay=600))
            # Longer than `ring_interval`, within which it would not ring again.
            await asyncio.sleep(0.6)
            await asyncio.to_thread(hook.send, "q", {"n": 2})
            await within(rung(rings, 2), 10)
            assert rings[1][1]["visible"] == 1

    asyncio.run(scenario())


def test_it_rings_for_messages_that_come_back(hook):
    async def scenario() -> None:
        hook.send("q", {})
        hook.read("q", visibility_timeout=1)
        async with ringing() as rings:
            await within(rung(rings, 1), 10)

    asyncio.run(scenario())


def test_it_rings_for_what_it_is_asked_for(hook):
    async def scenario() -> None:
        wanted = {"condition": {"paid": True}, "headers_condition": {"region": "eu"}}
        async with ringing(**wanted) as rings:
            hook.send("q", {"paid": True}, headers={"region": "us"})
            hook.send("q", {"paid": False}, headers={"region": "eu"})
            # It looks within milliseconds of each of them.
            await asyncio.sleep(0.5)
            assert rings == []
            hook.send("q", {"paid": True}, headers={"region": "eu"})
            await within(rung(rings, 1), 10)
            assert rings[0][1]["visible"] == 1

    asyncio.run(scenario())


def test_a_mistake_is_waited_out_and_rings_nothing(hook, caplog, capsys):
    """An event would start a Dag run, and a trigger that ends would be started again every second."""

    async def scenario() -> None:
        async with ringing(queue_name="later") as rings:
            await within(noted("trying again until it works", caplog, capsys), 10)
            hook.create_queue("later")
            hook.send("later", {})
            await within(rung(rings, 1), 20)
            assert rings[0][1]["queue_name"] == "later"

    asyncio.run(scenario())


@pytest.mark.parametrize(
    "parameters",
    [
        {},
        {"condition": {"a": [1, {"b": None}]}, "headers_condition": {"job": "j"}, "ring_interval": 2.5},
        {"ring_interval": 3600},
        pytest.param(
            {"deliver": "payload", "per": "batch", "unmatched": "archive"}, marks=needs_shared_streams
        ),
    ],
)
def test_parameters_survive_a_json_round_trip(parameters):
    trigger = PgmqEventTrigger(queue_name="q", **parameters)
    path, kwargs = trigger.serialize()
    again = PgmqEventTrigger(**json.loads(json.dumps(kwargs)))
    assert again.serialize() == (path, kwargs)
    assert PgmqEventTrigger.hash(path, kwargs) == PgmqEventTrigger.hash(*again.serialize())
    assert again.shared_stream_key() == trigger.shared_stream_key()
    # Airflow gives that name a meaning of its own.
    assert "queue" not in kwargs


@pytest.mark.parametrize(
    "wrong",
    [
        {"deliver": "pigeon"},
        {"ring_interval": 0},
        {"ring_interval": 60, "max_ring_interval": 30},
        {"max_ring_interval": 0},
        {"queue_name": "a;b"},
        {"per": "month"},
        {"unmatched": "lose"},
        {"max_in_flight": 0},
        {"quiet_after": 0},
        {"dead_letter_queue": "q"},
    ],
)
def test_mistakes_are_found_when_the_dag_file_is_parsed(wrong):
    with pytest.raises(InvalidArgument, match=r"must|cannot|one of"):
        PgmqEventTrigger(**{"queue_name": "q", **wrong})


def test_a_trigger_is_left_to_the_triggerers_of_a_queue():
    if "queue" not in inspect.signature(BaseEventTrigger.__init__).parameters:
        with pytest.raises(InvalidArgument, match=r"3\.4"):
            PgmqEventTrigger(queue_name="q", trigger_queue="near")
        return
    from airflow.serialization.encoders import encode_trigger

    trigger = PgmqEventTrigger(queue_name="q", trigger_queue="near")
    assert encode_trigger(trigger)["queue"] == "near"
    assert "trigger_queue" not in trigger.serialize()[1]
    assert encode_trigger(PgmqEventTrigger(queue_name="q")).get("queue") is None


@pytest.mark.skipif(HAS_SHARED_STREAMS, reason="this Airflow has them")
def test_an_older_airflow_says_what_it_lacks():
    with pytest.raises(AirflowOptionalProviderFeatureException, match=r"3\.3.*doorbell"):
        PgmqEventTrigger(queue_name="q", deliver="payload")


@needs_shared_streams
def test_watchers_that_differ_only_in_what_they_want_share_a_reader():
    def key(**parameters: Any) -> Any:
        return PgmqEventTrigger(**{"queue_name": "q", "deliver": "payload", **parameters}).shared_stream_key()

    assert key(condition={"a": 1}) == key(headers_condition={"b": 2}) == key()
    assert len({key(), key(queue_name="p"), key(pgmq_conn_id="other"), key(unmatched="archive")}) == 4
    assert PgmqEventTrigger(queue_name="q").shared_stream_key() is None


def test_common_messaging_knows_the_scheme():
    from airflow.providers.common.messaging.triggers.msg_queue import MessageQueueTrigger

    trigger = MessageQueueTrigger(scheme="pgmq", queue_name="orders", ring_interval=2.0)
    path, kwargs = trigger.serialize()
    assert path == "airflow_pgmq.triggers.event.PgmqEventTrigger"
    assert (kwargs["queue_name"], kwargs["ring_interval"]) == ("orders", 2.0)


def test_a_sender_and_a_consumer_meet_in_one_asset():
    trigger = PgmqEventTrigger(queue_name="orders")
    watched = assets.queue_asset("orders", watchers=[AssetWatcher(name="orders", trigger=trigger)])
    outlet = assets.queue_asset("orders")
    assert (
        watched.uri == outlet.uri == Asset("pgmq://pgmq_default/orders").uri == "pgmq://pgmq_default/orders"
    )
    assert watched.name == outlet.name
    assert assets.create_asset(queue_name="orders").uri == outlet.uri


@pytest.mark.parametrize(
    "uri", ["pgmq://", "pgmq://pgmq_default", "pgmq:///orders", "pgmq://a/b/c", "pgmq://a"]
)
def test_a_uri_that_names_no_queue_is_refused(uri):
    with pytest.raises(InvalidArgument, match="pgmq://"):
        Asset(uri)


def test_a_uri_is_spelled_as_pgmq_stores_the_queue():
    assert Asset("pgmq://pgmq_default/Orders/").uri == "pgmq://pgmq_default/orders"


def test_an_unsafe_name_makes_no_asset():
    with pytest.raises(InvalidName):
        assets.queue_asset("a;b")


def test_openlineage_sees_the_table_of_the_queue(pgmq_connection, database):
    pytest.importorskip("openlineage.client")
    dataset = assets.convert_asset_to_openlineage(assets.queue_asset("orders"), None)
    assert dataset.name == f"{database.name}.pgmq.q_orders"
    assert dataset.namespace.startswith("postgres://")
    unknown = assets.convert_asset_to_openlineage(assets.queue_asset("orders", pgmq_conn_id="no"), None)
    assert (unknown.namespace, unknown.name) == ("pgmq://no", "orders")
