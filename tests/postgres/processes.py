"""Work for processes of its own: forked from a server process without threads, so starting one is cheap."""

from __future__ import annotations

import multiprocessing
import random
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from typing import Any, TypeVar

from tests.fixtures.factories import client_of, send

T = TypeVar("T")

CONTEXT = multiprocessing.get_context("forkserver")
CONTEXT.set_forkserver_preload([__name__])

_together: Any = None


def at_once(work: Callable[..., T], calls: Sequence[tuple[Any, ...]]) -> list[T]:
    """Run `work` with each call's arguments in a process of its own, all let go at the same instant."""
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
    """Send the keys k0, k1, … in an order of this process's own; how often each status came."""
    keys = [f"k{n}" for n in range(count)]
    random.Random(seed).shuffle(keys)
    return Counter(result.status for result in send(client_of(dsn), *keys, **options))
