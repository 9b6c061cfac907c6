"""Idle connections, used again by later calls: opening one takes as long as many statements."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from weakref import WeakSet

from airflow_pgmq.db.driver import sessions
from airflow_pgmq.db.driver.sessions import Connection

#: Seconds after which a connection is closed, so that a revoked login or an expired token stops working.
MAX_AGE = 300
#: Seconds to wait for another thread's connection before another one is opened.
PATIENCE = 0.005


@dataclass(slots=True, eq=False)
class _Known:
    key: str
    conn: Connection
    opened: float = field(default_factory=time.monotonic)
    since: float = 0
    #: The thread that uses it for one call, and so gives it back soon.
    caller: int | None = None


class ConnectionCache:
    """A few idle connections, found by everything they were opened with.

    A child process that was forked forgets them, without a word to the server: they are its parent's.

    :param max_idle: how many are kept
    :param works: whether an idle connection can still be used
    """

    def __init__(self, max_idle: int, works: Callable[[Connection], bool]) -> None:
        self._max_idle = max_idle
        self._works = works
        self._make_lock()
        self._idle: list[_Known] = []
        self._lent: dict[int, _Known] = {}
        _caches.add(self)

    def _make_lock(self) -> None:
        # Entered by its own name: a signal between two lines of `Condition.__enter__` would leave it locked.
        self._lock = threading.RLock()
        self._changed = threading.Condition(self._lock)
        self._waiting = 0

    def take(self, key: str, connect: Callable[[], Connection], *, for_a_call: bool = True) -> Connection:
        """A working connection that no other thread uses.

        :param for_a_call: it is given back soon: other threads wait for it a little before they open another
        """
        while (found := self._pop(key, waits=for_a_call)) is not None:
            if time.monotonic() - found.opened < MAX_AGE and self._works(found.conn):
                break
            sessions.close(found.conn)
        known = found or _Known(key, connect())
        known.caller = threading.get_ident() if for_a_call else None
        self._lent[id(known.conn)] = known
        return known.conn

    def give_back(self, taken: Connection, conn: Connection) -> None:
        """Keep it for the next call, or close it if it is old, in a transaction or one too many.

        :param taken: the connection that `take` returned
        :param conn: the one that replaced it since, if it was lost
        """
        known = self._lent.pop(id(taken), None)
        if known is not None and conn is not taken:
            known = _Known(known.key, conn)
        if known is None or not sessions.is_reusable(conn):
            sessions.close(conn)
            return
        known.since = time.monotonic()
        with self._lock:
            self._idle.append(known)
            if self._waiting:
                self._changed.notify()
            is_alone = len(self._idle) == 1
        if not is_alone or known.since - known.opened >= MAX_AGE:
            self.close(unused_for=float("inf"), keep=self._max_idle)

    def close(self, unused_for: float = 0, *, keep: int | None = None) -> None:
        """Close connections unused for this many seconds, and those older than `MAX_AGE`.

        :param keep: close the surplus, too
        """
        now = time.monotonic()
        with self._lock:
            young = [
                each for each in self._idle if now - each.since < unused_for and now - each.opened < MAX_AGE
            ]
            kept = young[-keep:] if keep else young
            surplus = [each for each in self._idle if each not in kept]
            self._idle = kept
        for each in surplus:
            sessions.close(each.conn)

    def _pop(self, key: str, *, waits: bool) -> _Known | None:
        with self._lock:
            if (found := self._find(key)) is None and waits and self._is_back_soon(key):
                self._waiting += 1
                try:
                    found = self._changed.wait_for(lambda: self._find(key), PATIENCE)
                finally:
                    self._waiting -= 1
            if found is not None:
                self._idle.remove(found)
        return found

    def _find(self, key: str) -> _Known | None:
        for each in reversed(self._idle):
            if each.key == key:
                return each
        return None

    def _is_back_soon(self, key: str) -> bool:
        me = threading.get_ident()
        return any(each.key == key and each.caller not in (None, me) for each in list(self._lent.values()))

    def forget(self) -> None:
        """Leave all connections to the parent process."""
        _of_the_parent.extend([*self._idle, *self._lent.values()])
        self._make_lock()
        self._idle, self._lent = [], {}


_caches: WeakSet[ConnectionCache] = WeakSet()
#: Never freed: the driver would warn that they are not closed.
_of_the_parent: list[_Known] = []


def _after_fork() -> None:
    for cache in _caches:
        cache.forget()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
