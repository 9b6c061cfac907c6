"""Work of this process while the server runs a statement."""

from __future__ import annotations

import select
from collections.abc import Iterator
from itertools import islice
from typing import TypeVar

from psycopg.abc import PQGen
from psycopg.waiting import Wait

T = TypeVar("T")

#: Steps between two looks whether the answer is there.
AT_ONCE = 4


def working(answer: PQGen[T], steps: Iterator[object], socket: int) -> PQGen[T]:
    """As the driver's generator `answer`, but between its wait for the server and the first byte, take steps.

    Steps should be short: after some, the answer is looked for. What one raises ends the wait, as what a
    signal's handler raises does; then the connection is of no more use.
    """
    readable = select.poll()
    readable.register(socket, select.POLLIN)
    try:
        wait = next(answer)
        while True:
            if wait == Wait.R:
                # The statement was sent as a whole.
                while not readable.poll(0) and list(islice(steps, AT_ONCE)):
                    pass
            wait = answer.send((yield wait))
    except StopIteration as stop:
        result: T = stop.value
        return result
