"""Values in ascending order, walked in both directions."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Sequence


def rest(values: Sequence[int], edge: int, backward: bool) -> Sequence[int]:
    """The ascending values from `edge` on, in the given direction."""
    return values[: bisect_right(values, edge)][::-1] if backward else values[bisect_left(values, edge) :]
