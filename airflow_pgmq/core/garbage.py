"""Python's collection of garbage, where much is made and little of it is garbage."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Lock

#: How many more objects than usual are new before Python looks for garbage among them.
TIMES = 100
#: Python takes no more.
MOST = 2**31 - 1

_lock = Lock()
#: The blocks that run now, and what they found.
_running = 0
_usual: tuple[int, int, int] = (0, 0, 0)
_was_frozen = False


@contextmanager
def collected_rarely() -> Iterator[None]:
    """Collect rarely, and only among objects that are made inside.

    What Airflow imports are half a million objects, and for each slot a tick makes dozens. Otherwise Python
    looks at all of them again and again, for a tenth of the tick, and finds nothing. Memory stays bounded.
    """
    _enter()
    try:
        yield
    finally:
        _leave()


def _enter() -> None:
    global _running, _usual, _was_frozen
    with _lock:
        if _running == 0:
            _usual = gc.get_threshold()
            # What others have frozen before must stay so.
            _was_frozen = gc.get_freeze_count() > 0
            gc.set_threshold(min(TIMES * _usual[0], MOST), *_usual[1:])
            if not _was_frozen:
                gc.freeze()
        _running += 1


def _leave() -> None:
    global _running
    with _lock:
        _running -= 1
        if _running == 0:
            gc.set_threshold(*_usual)
            if not _was_frozen:
                gc.unfreeze()
