"""Postgres crashes in the middle of the work: work that is repeated until it succeeds is done once."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from itertools import count
from threading import Event

import pytest

from airflow_pgmq.db.client import Client, OperationalError, connect
from tests.fixtures.factories import execute, job, keys_in, seconds, send, slots_in, state, statuses, tick

CRASHES = 3
TIMEOUT = 60

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("small_chunks")]


class Worker(Client):
    """A client that says when it is at work, and runs work again that a crash has ended."""

    def __init__(self, dsn):
        super().__init__(lambda: connect({"conninfo": dsn}))
        self.at_work = Event()
        self.server_is_up = Event()
        self.enough = Event()
        self.failures = 0

    def attempt(self, make, own, **options):
        self.at_work.set()
        return super().attempt(make, own, **options)

    def open(self, limits=None, **options):
        """Open a connection that replaces a lost one; the client repeats attempts by itself."""
        self.failures += 1
        return super().open(limits, **options)

    def persist(self, work):
        """Repeat the work until it succeeds, as Airflow's retries do."""
        while True:
            assert self.server_is_up.wait(TIMEOUT)
            try:
                return work()
            except OperationalError:
                self.failures += 1

    def crash_during(self, server, work):
        """Crash the server several times while the work goes on; it ends when `enough` is set."""
        self.server_is_up.set()
        with ThreadPoolExecutor(1) as pool:
            result = pool.submit(work)
            try:
                for _ in range(CRASHES):
                    self.at_work.clear()
                    assert self.at_work.wait(TIMEOUT)
                    self.server_is_up.clear()
                    server.restart("immediate")
                    self.server_is_up.set()
            finally:
                self.enough.set()
            return result.result(TIMEOUT)


@pytest.fixture
def worker(own_database):
    execute(own_database, "SELECT pgmq.create('mail')")
    return Worker(own_database.dsn)


@pytest.mark.direct("a pooler may hide a crash between two transactions")
def test_ticks_that_are_run_again_send_each_slot_once(own_database, worker, monkeypatch):
    monkeypatch.setattr("airflow_pgmq.services.tick_rounds.JOBS", 5)
    jobs = [job(f"job{n}", cron="* * * * * *") for n in range(100)]
    tick(*jobs, look_ahead=0).run(worker)
    start = state(own_database, "job0")["watermark"]

    def ticks():
        for n in count(1):
            worker.persist(lambda n=n: tick(*jobs, look_ahead=n / 1200).run(worker))
            if worker.enough.is_set():
                return

    worker.crash_during(own_database.server, ticks)

    assert worker.failures > 0
    horizon = state(own_database, "job0")["horizon"]
    expected = seconds(start, horizon)
    assert all(slots_in(own_database, each.name) == expected for each in jobs)


@pytest.mark.direct("a pooler may hide a crash between two transactions")
@pytest.mark.parametrize("scope", ["once", "queued"])
def test_batches_that_are_sent_again_are_sent_once(own_database, worker, scope):
    batches = []

    def sends():
        while not worker.enough.is_set():
            batches.append([f"{len(batches)}/{n}" for n in range(3000)])
            worker.persist(lambda: send(worker, *batches[-1], scope=scope))

    worker.crash_during(own_database.server, sends)

    assert worker.failures > 0
    assert sorted(keys_in(own_database)) == sorted(key for keys in batches for key in keys)


def test_unlogged_queue_is_emptied_and_its_keys_are_free(own_database, worker):
    execute(own_database, "SELECT pgmq.drop_queue('mail')")
    execute(own_database, "SELECT pgmq.create_unlogged('mail')")
    send(worker, "a")

    own_database.server.restart("immediate")

    assert keys_in(own_database) == []
    assert statuses(send(worker, "a")) == ["sent"]
