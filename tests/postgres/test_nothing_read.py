"""A read that found nothing can say why."""

from __future__ import annotations

import pytest

from airflow_pgmq.core.batch import prepare
from airflow_pgmq.db.statements import pausing
from airflow_pgmq.services import sending
from airflow_pgmq.services.nothing_read import reason
from tests.fixtures.factories import QUEUE, execute, read, send


@pytest.fixture(autouse=True)
def _queue(client, database):
    execute(database, "SELECT pgmq.create(%s)", [QUEUE])


def test_an_empty_queue(client):
    assert reason(client, QUEUE, is_filtered=True, ordered=True) == "No message is visible."


def test_a_paused_queue(client):
    send(client, "a")
    client.run(lambda: pausing.pause(QUEUE, "their server is down", "ada"))
    why = reason(client, QUEUE)
    assert why.startswith(f"Queue {QUEUE} is paused")
    assert why.endswith(": nothing is read from it.")
    assert "ada" in why
    assert "their server is down" in why


def test_messages_that_do_not_match(client):
    send(client, "a", messages=[{"n": 1}])
    why = f"Messages of queue {QUEUE} are visible, but none matches the condition."
    assert reason(client, QUEUE, is_filtered=True) == why


def test_messages_that_wait_for_an_earlier_one(client):
    sending.send(client, QUEUE, prepare(["a", "b"], group="x"))
    assert len(read(client, 1)) == 1
    why = f"Messages of queue {QUEUE} are visible, but none is the next of its group."
    assert reason(client, QUEUE, ordered=True) == why


def test_a_queue_that_is_not_there(client):
    """The read has said so already."""
    assert reason(client, "nowhere", is_filtered=True) == "No message is visible."
