"""Dags that messages start, on an Airflow that runs: every message of every burst reaches a run."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from airflow_pgmq import compat
from tests.fixtures.live import LiveAirflow

# One Airflow for all tests that need it.
pytestmark = [pytest.mark.xdist_group("live_airflow"), pytest.mark.timeout(180), pytest.mark.slow]

DAGS = ("burst", "bursts", "narrow", "slow", "sleeping", "shaken", "plain")


@pytest.fixture(scope="module")
def airflow(live_airflow: LiveAirflow) -> LiveAirflow:
    """With every queue watched."""
    live_airflow.wait_for_watchers(*DAGS)
    return live_airflow


@pytest.fixture
def send(airflow: LiveAirflow) -> Callable[..., None]:
    def send(queue_name: str, count: int) -> None:
        airflow.hook().send_batch(queue_name, [{"n": n} for n in range(count)])

    return send


def all_done(airflow: LiveAirflow, queue_name: str, count: int, timeout: float = 60) -> None:
    """Wait until this many messages were processed, and the queue is empty."""
    airflow.wait_until(
        lambda: airflow.processed(queue_name) == count and not airflow.left(queue_name),
        f"{count} messages of {queue_name} are processed",
        timeout,
    )


@pytest.mark.skipif(not compat.keeps_every_event(), reason="new in Airflow 3.4")
def test_all_plain_events_of_a_burst_reach_runs(airflow, send):
    send("plain", 6)
    airflow.wait_until(lambda: airflow.processed("plain") == 6, "runs have seen them all", 60)


@pytest.mark.skipif(compat.keeps_every_event(), reason="this Airflow has learned it")
def test_of_plain_events_in_a_burst_one_reaches_a_run(airflow, send):
    """What Airflow does with other watchers."""
    # On a busy machine the scheduler may come by between the events of one burst; hardly of five.
    for number in range(1, 6):
        before = airflow.processed("plain")
        send("plain", 6)
        airflow.wait_until(
            lambda n=number: len(airflow.events("plain")) == 6 * n, "the events are stored", 30
        )
        airflow.wait_until(lambda n=before: airflow.processed("plain") > n, "a run has started", 60)
        # Two more rounds of the scheduler: a burst elsewhere is done meanwhile.
        send("burst", 10)
        all_done(airflow, "burst", 10 * number)
        if airflow.processed("plain") < 6 * number:
            break

    assert airflow.processed("plain") < 6 * number
    assert airflow.ask("SELECT count(*) FROM asset_dag_run_queue WHERE target_dag_id = 'plain'") == [(0,)]


def test_a_burst_is_processed(airflow, send):
    before = airflow.processed("burst")
    send("burst", 500)
    all_done(airflow, "burst", before + 500)


def test_ten_bursts_are_processed(airflow, send):
    for number in range(10):
        send("bursts", 50)
        # Into the middle of the runs that the first ones start.
        airflow.wait_until(lambda n=number: airflow.processed("bursts") or n == 0, "the first run works", 60)
    all_done(airflow, "bursts", 500)


def test_with_one_run_at_a_time_nothing_waits_for_a_later_message(airflow, send):
    for count in (100, 200, 400):
        send("narrow", count - airflow.processed("narrow"))
        # The run has taken them and goes on for a while, so the next ones find the Dag at its limit.
        airflow.wait_until(lambda n=count: airflow.processed("narrow") == n, "the run works", 60)
    send("narrow", 100)
    all_done(airflow, "narrow", 500)


def test_messages_that_take_long_start_a_few_runs_and_none_is_left_over(airflow, send):
    """Airflow 3.4 makes a run of each ring, whatever the runs before it take."""
    send("slow", 24)
    all_done(airflow, "slow", 24, 90)
    waiting = "SELECT 1 FROM asset_dag_run_queue WHERE target_dag_id = 'slow'"
    airflow.wait_until(
        lambda: {state for _, state in airflow.runs("slow")} == {"success"} and not airflow.ask(waiting),
        "the runs have ended, and no event waits",
        60,
    )
    # While a run is at work it does not ring; a slow machine may need some rings until the first one is.
    assert len(airflow.events("slow")) <= 4
    assert len(airflow.runs("slow")) <= len(airflow.events("slow"))


def test_what_comes_while_the_dag_is_paused_is_processed_after(airflow, send):
    airflow.pause("sleeping")
    airflow.wait_until(lambda: not airflow.watched("sleeping"), "the watcher is gone", 60)
    send("sleeping", 500)
    airflow.pause("sleeping", False)
    all_done(airflow, "sleeping", 500)


def test_a_killed_triggerer_loses_nothing(airflow, send):
    send("shaken", 250)
    airflow.kill("triggerer")
    send("shaken", 250)
    airflow.start("triggerer")
    all_done(airflow, "shaken", 500)


def test_the_bell_is_silent_while_the_queue_is_empty(airflow, send):
    send("burst", 1)
    airflow.wait_until(lambda: not airflow.left("burst"), "the queue is empty", 60)
    rung = len(airflow.events("burst"))
    # Longer than the bell's interval: a message elsewhere comes, rings and is processed meanwhile, twice.
    for count in (1, 2):
        send("bursts", 1)
        all_done(airflow, "bursts", 500 + count)
    assert len(airflow.events("burst")) <= rung + 1


def test_an_event_says_how_many_wait_and_since_when(airflow):
    event: dict[str, Any] = airflow.events("burst")[0]
    assert event["queue_name"] == "burst"
    assert event["visible"] > 0
    assert event["oldest"]
