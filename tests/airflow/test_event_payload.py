"""Messages inside asset events, with triggerers that are killed: each message is in an event."""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Callable
from typing import Any

import pytest

from airflow_pgmq import compat
from airflow_pgmq.core import xcom
from tests.fixtures.live import LiveAirflow

pytest.importorskip("airflow.triggers.shared_stream", reason="new in Airflow 3.3")

# One Airflow for all tests that need it.
pytestmark = [pytest.mark.xdist_group("live_airflow"), pytest.mark.timeout(240), pytest.mark.slow]

log = logging.getLogger(__name__)

DAGS = ("flow", "flow_even", "batches", "choosy", "napping", "storm")


@pytest.fixture(scope="module")
def airflow(live_airflow: LiveAirflow) -> LiveAirflow:
    """With every queue watched."""
    live_airflow.wait_for_watchers(*DAGS)
    return live_airflow


@pytest.fixture
def send(airflow: LiveAirflow) -> Callable[..., list[int]]:
    def send(queue_name: str, count: int, **fields: Any) -> list[int]:
        messages = [{"n": n, "even": n % 2 == 0, **fields} for n in range(count)]
        return [result.msg_id for result in airflow.hook().send_batch(queue_name, messages)]

    return send


def readings(airflow: LiveAirflow, dag_id: str) -> dict[int, list[int]]:
    """The `read_ct` of each message in each of its events, in their order."""
    found = defaultdict(list)
    for event in airflow.events(dag_id):
        for message in event["messages"]:
            found[message["msg_id"]].append(message["read_ct"])
    return found


def is_delivered(airflow: LiveAirflow, dag_id: str, ids: list[int]) -> bool:
    return set(ids) <= readings(airflow, dag_id).keys()


def wait_until_delivered(airflow: LiveAirflow, dag_id: str, ids: list[int], timeout: float = 60) -> None:
    airflow.wait_until(
        lambda: is_delivered(airflow, dag_id, ids), f"{len(ids)} messages are in events of {dag_id}", timeout
    )


def wait_until_empty(airflow: LiveAirflow, queue_name: str, timeout: float = 60) -> None:
    airflow.wait_until(lambda: not airflow.left(queue_name), f"queue {queue_name} is empty", timeout)


def test_a_burst_reaches_runs_without_a_later_message(airflow, send):
    ids = send("flow", 40)

    wait_until_delivered(airflow, "flow", ids)
    airflow.wait_until(lambda: airflow.processed("flow") >= 40, "runs have seen them all", 60)
    wait_until_empty(airflow, "flow")
    assert airflow.archived("flow") >= 40
    # Where each event may be a run of its own, an empty one would be an empty run.
    assert (airflow.events("flow")[-1]["messages"] == []) is not compat.keeps_every_event()
    assert all(event["messages"] for event in airflow.events("flow")) is compat.keeps_every_event()


def test_each_watcher_has_its_condition(airflow, send):
    ids = send("flow", 10)

    wait_until_delivered(airflow, "flow", ids)
    wait_until_delivered(airflow, "flow_even", ids[::2])
    assert not set(ids[1::2]) & readings(airflow, "flow_even").keys()


def test_one_event_holds_a_batch(airflow, send):
    ids = send("batches", 100)

    wait_until_delivered(airflow, "batches", ids)
    sizes = [len(event["messages"]) for event in airflow.events("batches")]
    assert max(sizes) == 20
    assert sum(sizes) == 100
    wait_until_empty(airflow, "batches")


def test_refused_messages_go_to_the_dead_letters_with_the_reason(airflow, send):
    hook = airflow.hook()
    hook.create_queue("choosy_dlq")
    nested: Any = 1
    for _ in range(xcom.MAX_DEPTH - 2):
        nested = [nested]
    [unwanted], [wanted] = send("choosy", 1), send("choosy", 1, wanted=True, nested=nested)
    [deeper] = send("choosy", 1, wanted=True, nested=[nested])
    # Other clients send numbers that Airflow's processes cannot tell each other: the triggerer would end.
    airflow.execute_on_queues("SELECT pgmq.send('choosy', '{\"wanted\": true, \"size\": 1e99}')")
    airflow.execute_on_queues("SELECT pgmq.send('choosy', '{\"wanted\": true, \"size\": 1e9999}')")

    wait_until_delivered(airflow, "choosy", [wanted])
    wait_until_empty(airflow, "choosy")

    reasons = {
        message.headers["dead_letter"]["msg_id"]: message.headers["dead_letter"]["reason"]
        for message in hook.read("choosy_dlq", max_messages=10)
    }
    assert reasons.pop(unwanted) == "no asset watcher wants it"
    assert "nested" in reasons.pop(deeper)
    too_large, unreadable = [reasons[msg_id] for msg_id in sorted(reasons)]
    assert "64-bit" in too_large
    assert "digits" in unreadable


def test_a_paused_dag_leaves_the_messages_in_the_queue(airflow, send):
    airflow.pause("napping")
    airflow.wait_until(lambda: not airflow.watched("napping"), "the watcher is gone", 60)
    ids = send("napping", 50)
    assert airflow.left("napping") == 50

    airflow.pause("napping", False)
    wait_until_delivered(airflow, "napping", ids)
    wait_until_empty(airflow, "napping")


def test_a_restart_of_postgres_loses_nothing(airflow, send):
    ids = send("flow", 60)
    airflow.queues.server.restart("immediate")
    ids += send("flow", 60)

    wait_until_delivered(airflow, "flow", ids)
    wait_until_empty(airflow, "flow")


def test_two_triggerers_share_a_queue(airflow, send):
    airflow.start("other-triggerer", "triggerer")
    airflow.wait_until(lambda: len(airflow.triggerers()) == 2, "two triggerers run", 60)
    [watcher] = airflow.watchers("flow_even")
    [here] = airflow.triggerers_of(watcher)
    [there] = set(airflow.triggerers()) - {here}
    airflow.move_watcher(watcher, there)

    # Each message goes to one process: to the watcher that wants all, or to the one that gives back the odd.
    ids = send("flow", 100)
    wait_until_empty(airflow, "flow", 120)
    seen = readings(airflow, "flow").keys() | readings(airflow, "flow_even").keys()
    airflow.kill("other-triggerer")

    assert set(ids) <= seen
    assert set(ids[1::2]) <= readings(airflow, "flow").keys()


@pytest.mark.parametrize(
    ("kills", "count"),
    [(3, 300), pytest.param(20, 2000, marks=[pytest.mark.chaos, pytest.mark.timeout(1200)])],
)
def test_killed_triggerers_lose_nothing(airflow, send, kills, count):
    ids: list[int] = []
    for _ in range(kills):
        ids += send("storm", count // kills)
        stored = len(airflow.events("storm"))
        airflow.wait_until(lambda n=stored: len(airflow.events("storm")) > n, "messages flow", 60)
        airflow.kill("triggerer")
        airflow.start("triggerer")
    ids += send("storm", count - len(ids))

    # What left the queue without being in an event would be lost.
    wait_until_empty(airflow, "storm", 60 + count / 10)
    seen = readings(airflow, "storm")
    assert set(ids) <= seen.keys()
    again = [seen[msg_id] for msg_id in ids if len(seen[msg_id]) > 1]
    log.info("%d messages, %d kills: %d messages in more than one event", len(ids), kills, len(again))
    # The later event of a message tells that it is one.
    assert all(counts == sorted(set(counts)) for counts in again)
