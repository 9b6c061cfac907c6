"""Calls functions at their time, in one thread per process and purpose."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from math import inf


class Timer:
    """One call for each owner, at its time. The thread is started with the first one.

    The calls are made one after the other, so none may take long, and none may raise.

    :param name: of the thread
    """

    def __init__(self, name: str = "pgmq-timer") -> None:
        self._name = name
        self.forget()

    def forget(self) -> None:
        """Begin anew: a forked process has no thread."""
        # Entered by its own name: a signal between two lines of `Condition.__enter__` would leave it locked.
        self._lock = threading.RLock()
        self._changed = threading.Condition(self._lock)
        self._calls: dict[object, tuple[float, Callable[[], object]]] = {}
        self._wakes_at = inf
        self._thread: threading.Thread | None = None

    def set(self, owner: object, seconds: float, call: Callable[[], object]) -> None:
        """Call it in so many seconds, instead of the owner's call so far."""
        at = time.monotonic() + seconds
        with self._lock:
            self._calls[owner] = (at, call)
            if self._thread is None or not self._thread.is_alive():
                thread = threading.Thread(target=self._run, name=self._name, daemon=True)
                thread.start()
                self._thread = thread
            elif at < self._wakes_at:
                self._changed.notify()

    def cancel(self, owner: object) -> None:
        """Forget the owner's call."""
        with self._lock:
            self._calls.pop(owner, None)

    def _run(self) -> None:
        while True:
            self._next()()

    def _next(self) -> Callable[[], object]:
        with self._lock:
            while True:
                owner = min(self._calls, key=lambda each: self._calls[each][0], default=None)
                at, call = (inf, None) if owner is None else self._calls[owner]
                if call is not None and at <= time.monotonic():
                    del self._calls[owner]
                    return call
                self._wakes_at = at
                self._changed.wait(None if at == inf else max(0.0, at - time.monotonic()))


#: Heartbeats of all consumers of the process.
TIMER = Timer("pgmq-heartbeat")
#: Their acks, which may wait for a lock: no heartbeat may wait for them.
ACKS = Timer("pgmq-acks")


def _after_fork() -> None:
    TIMER.forget()
    ACKS.forget()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
