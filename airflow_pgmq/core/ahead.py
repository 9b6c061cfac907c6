"""Results that are computed while something else is waited for."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from typing import Generic, TypeVar

T = TypeVar("T")


class Ahead(Generic[T]):
    """Iterates over results, some of which were computed before they are asked for.

    :param results: makes one at a time
    :param most: how much is computed and not yet asked for: it is in memory, and may not be needed
    :param weigh: how much of that one result is
    """

    def __init__(self, results: Iterator[T], most: int, weigh: Callable[[T], int] = lambda _: 1) -> None:
        self._results = results
        self._room = most
        self._weigh = weigh
        self._made: deque[T] = deque()

    def __iter__(self) -> Iterator[T]:
        return self

    def __next__(self) -> T:
        if self._made:
            found = self._made.popleft()
            self._room += self._weigh(found)
            return found
        return next(self._results)

    def steps(self) -> Iterator[None]:
        """Compute one more with each step."""
        while self._room > 0:
            try:
                made = next(self._results)
            except StopIteration:
                return
            self._made.append(made)
            self._room -= self._weigh(made)
            yield
