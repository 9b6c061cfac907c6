"""Calls functions at their time, in one thread per process."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from math import inf


class Timer:
    """One call for each owner, at its time. The thread is started with the first one.

    The calls are made one after the other, so none may take long, and none may raise.
    """

    def __init__(self) -> None:
        self.forget()

    def forget(self) -> None:
        """Begin anew: a forked process has no thread."""
        self._changed = threading.Condition()
        self._calls: dict[object, tuple[float, Callable[[], object]]] = {}
        self._wakes_at = inf
        self._thread: threading.Thread | None = None

    def set(self, owner: object, seconds: float, call: Callable[[], object]) -> None:
        """Call it in so many seconds, instead of the owner's call so far."""
        at = time.monotonic() + seconds
        with self._changed:
            self._calls[owner] = (at, call)
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="pgmq-timer", daemon=True)
                self._thread.start()
            elif at < self._wakes_at:
                self._changed.notify()

    def cancel(self, owner: object) -> None:
        """Forget the owner's call."""
        with self._changed:
            self._calls.pop(owner, None)

    def _run(self) -> None:
        while True:
            self._next()()

    def _next(self) -> Callable[[], object]:
        with self._changed:
            while True:
                owner = min(self._calls, key=lambda each: self._calls[each][0], default=None)
                at, call = (inf, None) if owner is None else self._calls[owner]
                if call is not None and at <= time.monotonic():
                    del self._calls[owner]
                    return call
                self._wakes_at = at
                self._changed.wait(None if at == inf else max(0.0, at - time.monotonic()))


#: The process's timer.
TIMER = Timer()

if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=TIMER.forget)
