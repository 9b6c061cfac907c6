"""Connections that the next request uses again: a new one costs the server as much as a refresh does."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

from airflow_pgmq.client import Connection, OperationalError


class Kept:
    """Idle connections by what they were opened with; as many as requests ran at once."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._idle: list[tuple[float, str, Connection]] = []

    @contextmanager
    def connection(self, key: str, connect: Callable[[], Connection]) -> Iterator[Connection]:
        """One that works, in autocommit mode, for this thread alone; after an error it is not kept."""
        conn = self._take(key) or connect()
        try:
            conn.autocommit = True
            yield conn
        except BaseException:
            conn.close()
            raise
        with self._lock:
            self._idle.append((time.monotonic(), key, conn))

    def close(self, unused_for: float = 0) -> None:
        """Close those that nobody has used for so many seconds."""
        unused_since = time.monotonic() - unused_for
        with self._lock:
            unused = [conn for at, _, conn in self._idle if at <= unused_since]
            self._idle = [each for each in self._idle if each[0] > unused_since]
        for conn in unused:
            conn.close()

    def _take(self, key: str) -> Connection | None:
        while (conn := self._pop(key)) is not None:
            # The server may have been restarted since.
            with suppress(OperationalError):
                conn.execute("SELECT 1")
                return conn
            conn.close()
        return None

    def _pop(self, key: str) -> Connection | None:
        with self._lock:
            found = next((each for each in reversed(self._idle) if each[1] == key), None)
            if found is not None:
                self._idle.remove(found)
        return None if found is None else found[2]
