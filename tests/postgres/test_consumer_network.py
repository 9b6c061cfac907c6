"""A network that fails silently: packets are lost, and no error is reported."""

from __future__ import annotations

import ctypes
import os
import shutil
import subprocess
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from airflow_pgmq.core.consumer_policy import Policy
from airflow_pgmq.db.client import Client, connect
from airflow_pgmq.messages import Message
from airflow_pgmq.services.consuming import Consumer
from tests.fixtures.factories import QUEUE, queued, send
from tests.fixtures.postgres import Database
from tests.fixtures.proxy import running_proxy

CLONE_NEWNET = 0x40000000
HERE, THERE = "10.213.77.1", "10.213.77.2"

pytestmark = pytest.mark.skipif(
    os.geteuid() != 0 or shutil.which("ip") is None, reason="a network of the test's own needs root and ip"
)


def ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True, capture_output=True)


@pytest.fixture
def cable() -> Iterator[Callable[[str], None]]:
    """A network with one link to it: `up` or `down`."""
    name = f"pgmq{os.getpid()}"
    try:
        ip("netns", "add", name)
    except subprocess.CalledProcessError as exc:
        pytest.skip(f"no network of the test's own here: {exc.stderr.decode()}")
    try:
        ip("link", "add", name, "type", "veth", "peer", "name", "inside", "netns", name)
        ip("addr", "add", f"{HERE}/30", "dev", name)
        ip("link", "set", name, "up")
        ip("-n", name, "addr", "add", f"{THERE}/30", "dev", "inside")
        ip("-n", name, "link", "set", "inside", "up")
        yield lambda state: ip("link", "set", name, state)
    finally:
        ip("netns", "delete", name)


def enter_network() -> None:
    """Move the calling thread, and threads that it starts, into the network."""
    with open(f"/run/netns/pgmq{os.getpid()}") as network:
        if ctypes.CDLL(None, use_errno=True).setns(network.fileno(), CLONE_NEWNET):
            raise OSError(ctypes.get_errno(), "setns")


def test_an_ack_outlives_a_network_that_goes_away(
    client: Client, database: Database, cable: Callable[[str], None]
) -> None:
    send(client, "a")
    begun, cut, never = threading.Event(), threading.Event(), threading.Event()

    with running_proxy(database, HERE) as proxy, ThreadPoolExecutor(1, initializer=enter_network) as inside:
        away = Client(lambda: connect({"conninfo": proxy.dsn}))
        consumer = Consumer(away, Policy(queue_name=QUEUE), together=False)

        def work(messages: list[Message], conn: Any) -> None:
            begun.set()
            assert cut.wait(60)

        drained = inside.submit(consumer.drain, work)
        assert begun.wait(60)
        cable("down")
        cut.set()
        # The connection on which the ack was sent is given up.
        while consumer._held.connection._conn is not None and not drained.done():
            never.wait(0.05)
        cable("up")
        assert drained.result().acked == 1
    assert queued(database) == []
