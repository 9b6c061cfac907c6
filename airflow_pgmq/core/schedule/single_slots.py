"""Slots that are named one by one."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator
from datetime import datetime


class SingleSlots:
    """These instants and no others.

    :param instants: in UTC
    """

    def __init__(self, instants: Iterable[datetime]) -> None:
        self._slots = sorted(set(instants))

    def after(self, instant: datetime) -> Iterator[datetime]:
        """Slots later than `instant`, ascending, in UTC."""
        return iter(self._slots[bisect_right(self._slots, instant) :])

    def before(self, instant: datetime) -> Iterator[datetime]:
        """Slots earlier than `instant`, descending, in UTC."""
        return iter(self._slots[: bisect_left(self._slots, instant)][::-1])
