"""Work in processes of its own, forked from a server process without threads, so that a start is fast."""

from __future__ import annotations

import multiprocessing
import random
import signal
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from typing import Any, TypeVar

from airflow_pgmq.core import batch
from airflow_pgmq.core.limits import Limits
from airflow_pgmq.db.client import Client
from airflow_pgmq.db.statements import reading
from airflow_pgmq.services import sending, tick_rounds
from airflow_pgmq.services.ticking import Tick
from tests.fixtures.factories import QUEUE, client_of, read, send

T = TypeVar("T")

CONTEXT = multiprocessing.get_context("forkserver")
CONTEXT.set_forkserver_preload([__name__])

_together: Any = None


def at_once(work: Callable[..., T], calls: Sequence[tuple[Any, ...]]) -> list[T]:
    """Run `work` with each call's arguments in a process of its own; all start at the same instant."""
    barrier = CONTEXT.Barrier(len(calls))
    with ProcessPoolExecutor(len(calls), CONTEXT, _meet_at, (barrier,)) as pool:
        futures = [pool.submit(_when_all_are_there, work, call) for call in calls]
        return [future.result() for future in futures]


def _meet_at(barrier: Any) -> None:
    global _together
    _together = barrier


def _when_all_are_there(work: Callable[..., T], call: tuple[Any, ...]) -> T:
    _together.wait(60)
    return work(*call)


def send_shuffled(dsn: str, seed: int, count: int, options: dict[str, Any]) -> Counter[str]:
    """Send the keys k0, k1, … in an order of this process's own; returns how often each status came."""
    batch.CHUNK = 1000
    keys = [f"k{n}" for n in range(count)]
    random.Random(seed).shuffle(keys)
    return Counter(result.status for result in send(client_of(dsn), *keys, **options))


class _Halting(Client):
    """A client that says when this many transactions have ended, and then waits to be killed."""

    def __init__(self, dsn: str, transactions: int, halted: Any) -> None:
        super().__init__(client_of(dsn).open)
        self._left = transactions
        self._halted = halted

    def attempt(self, make: Callable[[], Any], own: Any, **options: Any) -> Any:
        """Run as usual, and halt after the last one."""
        result = super().attempt(make, own, **options)
        self._left -= 1
        if not self._left:
            self._halted.send(None)
            signal.pause()
        return result


def run_ticks(dsn: str, ticks: Sequence[Tick], started: Any = None, halt_after: int | None = None) -> int:
    """Run ticks in rounds of a few jobs; returns how many messages they sent.

    :param started: is called when it begins, and when it halts
    :param halt_after: halt after this many transactions
    """
    tick_rounds.JOBS = 10
    client = client_of(dsn) if halt_after is None else _Halting(dsn, halt_after, started)
    if started is not None and halt_after is None:
        started.send(None)
    return sum(each.run(client).sent for each in ticks)


def consume(dsn: str, done: Any) -> None:
    """Read and archive what is visible until told to stop."""
    client = client_of(dsn)
    while not done.is_set():
        if messages := read(client, 20):
            client.run(lambda messages=messages: reading.archive(QUEUE, messages))
        else:
            # A message that becomes visible is no event, and polling without a pause would take all CPU.
            done.wait(0.01)


@contextmanager
def consumers(dsn: str, count: int) -> Iterator[None]:
    """Processes that consume while the block runs."""
    done = CONTEXT.Event()
    running = [CONTEXT.Process(target=consume, args=(dsn, done)) for _ in range(count)]
    for each in running:
        each.start()
    try:
        yield
    finally:
        done.set()
        for each in running:
            each.join(60)
    assert [each.exitcode for each in running] == [0] * count


def install(dsn: str) -> list[str]:
    """Install; returns what was done."""
    return client_of(dsn).install()


def report(work: Callable[..., Any], arguments: tuple[Any, ...], answer: Any) -> None:
    """Send the result of the work back."""
    answer.send(work(*arguments))


def run_tick(client: Client, one: Tick) -> int:
    """Run a tick; returns how many messages it sent."""
    return one.run(client).sent


def send_with(client: Client, options: dict[str, Any]) -> list[str]:
    """Send the keys a and b; returns their statuses."""
    return [result.status for result in send(client, "a", "b", messages=["new", "new"], **options)]


def send_without_keys(client: Client) -> list[str]:
    """Send two messages without keys; returns their statuses."""
    return [result.status for result in sending.send(client, QUEUE, batch.prepare(["new", "new"]))]


def limited(dsn: str, limits: Limits, work: Callable[..., T], *arguments: Any) -> T:
    """Run work with a client of these limits."""
    return work(client_of(dsn, limits=limits), *arguments)
