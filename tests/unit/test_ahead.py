"""Results that are computed before they are asked for: all of them, in their order, and not too many."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count, islice

import pytest

from airflow_pgmq.core.ahead import Ahead


def take(steps: Iterator[None], number: int) -> int:
    return len(list(islice(steps, number)))


@pytest.mark.parametrize("steps", [0, 1, 3, 10])
def test_all_results_come_in_their_order(steps: int) -> None:
    ahead = Ahead(iter(range(7)), 5)
    found = []
    for each in ahead:
        found.append(each)
        take(ahead.steps(), steps)
    assert found == list(range(7))


def test_what_is_not_asked_for_is_bounded() -> None:
    numbers = count()
    ahead = Ahead(numbers, 5)
    assert take(ahead.steps(), 100) == 5
    assert next(ahead) == 0
    assert take(ahead.steps(), 100) == 1
    assert next(numbers) == 6


def test_heavy_results_count_for_more() -> None:
    ahead = Ahead(iter([3, 3, 3, 3]), 5, lambda each: each)
    assert take(ahead.steps(), 100) == 2
    assert next(ahead) == 3
    assert take(ahead.steps(), 100) == 1


@pytest.mark.parametrize("fault", [KeyboardInterrupt, ZeroDivisionError])
def test_a_fault_is_not_kept(fault: type[BaseException]) -> None:
    def results() -> Iterator[int]:
        yield 1
        raise fault

    ahead = Ahead(results(), 5)
    with pytest.raises(fault):
        take(ahead.steps(), 100)
