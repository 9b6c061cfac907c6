"""Connections that the next request uses again: a new one costs the server as much as a refresh does."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from airflow_pgmq.db.client import Connection
from airflow_pgmq.db.driver.connecting import answers

#: Seconds since it was opened: a login that was taken away, or a token, must not be good for ever.
OLDEST = 300
#: Seconds that a server is given to say that it is there.
PATIENCE = 3


@dataclass(slots=True, eq=False)
class _Idle:
    key: str
    conn: Connection
    opened: float = field(default_factory=time.monotonic)
    since: float = 0


class Kept:
    """Idle connections, a few, by all that they were opened with."""

    def __init__(self, at_most: int) -> None:
        self._at_most = at_most
        self._lock = threading.Lock()
        self._idle: list[_Idle] = []

    @contextmanager
    def connection(self, key: str, connect: Callable[[], Connection]) -> Iterator[Connection]:
        """One that works, for this thread alone; after an error it is not kept."""
        found = self._take(key) or _Idle(key, connect())
        try:
            yield found.conn
        except BaseException:
            found.conn.close()
            raise
        found.since = time.monotonic()
        with self._lock:
            self._idle.append(found)
        self.close(unused_for=float("inf"))

    def close(self, unused_for: float = 0) -> None:
        """Close those that nobody has used for so many seconds, the too old, and the too many."""
        now = time.monotonic()
        with self._lock:
            young = [
                each for each in self._idle if now - each.since < unused_for and now - each.opened < OLDEST
            ]
            kept = young[-self._at_most :]
            surplus = [each for each in self._idle if each not in kept]
            self._idle = kept
        for each in surplus:
            each.conn.close()

    def _take(self, key: str) -> _Idle | None:
        while (found := self._pop(key)) is not None:
            # The server may have been restarted since, or hang.
            if answers(found.conn, PATIENCE):
                return found
            found.conn.close()
        return None

    def _pop(self, key: str) -> _Idle | None:
        with self._lock:
            found = next((each for each in reversed(self._idle) if each.key == key), None)
            if found is not None:
                self._idle.remove(found)
        return found
