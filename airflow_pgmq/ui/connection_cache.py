"""Idle connections, reused by later requests: opening one costs as much as the queries of a refresh."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from airflow_pgmq.db.client import Connection
from airflow_pgmq.db.driver.connecting import answers

#: Seconds after which a connection is closed, so that a revoked login or an expired token stops working.
MAX_AGE = 300
#: Seconds that the server has to answer the check before a connection is used again.
CHECK_TIMEOUT = 3


@dataclass(slots=True, eq=False)
class _Idle:
    key: str
    conn: Connection
    opened: float = field(default_factory=time.monotonic)
    since: float = 0


class ConnectionCache:
    """A few idle connections, found by everything they were opened with."""

    def __init__(self, max_idle: int) -> None:
        self._max_idle = max_idle
        self._lock = threading.Lock()
        self._idle: list[_Idle] = []

    @contextmanager
    def connection(self, key: str, connect: Callable[[], Connection]) -> Iterator[Connection]:
        """A working connection that no other thread uses; closed instead of kept after an error."""
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
        """Close connections unused for this many seconds, those older than `MAX_AGE`, and the surplus."""
        now = time.monotonic()
        with self._lock:
            young = [
                each for each in self._idle if now - each.since < unused_for and now - each.opened < MAX_AGE
            ]
            kept = young[-self._max_idle :]
            surplus = [each for each in self._idle if each not in kept]
            self._idle = kept
        for each in surplus:
            each.conn.close()

    def _take(self, key: str) -> _Idle | None:
        while (found := self._pop(key)) is not None:
            # The server may have restarted in the meantime, or may hang.
            if answers(found.conn, CHECK_TIMEOUT):
                return found
            found.conn.close()
        return None

    def _pop(self, key: str) -> _Idle | None:
        with self._lock:
            found = next((each for each in reversed(self._idle) if each.key == key), None)
            if found is not None:
                self._idle.remove(found)
        return found
