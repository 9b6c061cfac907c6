"""Fewer collections inside of a block, and as before after it, whoever else has one."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from airflow_pgmq.core.garbage import TIMES, collected_rarely

USUAL = gc.get_threshold()


@pytest.fixture(autouse=True)
def thawed() -> Iterator[None]:
    """Test processes freeze what they have imported."""
    frozen = gc.get_freeze_count() > 0
    gc.unfreeze()
    yield
    if frozen:
        gc.freeze()


def collections() -> int:
    """How many are there, while this many objects are made that stay."""
    before = sum(each["collections"] for each in gc.get_stats())
    kept = [[number] for number in range(50 * USUAL[0])]
    del kept
    return sum(each["collections"] for each in gc.get_stats()) - before


def test_collections_are_rare_inside_and_as_usual_after() -> None:
    with collected_rarely():
        assert gc.get_freeze_count() > 0
        inside = collections()
    assert (gc.get_threshold(), gc.get_freeze_count()) == (USUAL, 0)
    assert inside <= 1 < collections()


def test_garbage_is_collected_inside_too() -> None:
    class Cycle:
        alive = 0

        def __init__(self) -> None:
            self.itself = self
            Cycle.alive += 1

        def __del__(self) -> None:
            Cycle.alive -= 1

    with collected_rarely():
        for _ in range(3 * TIMES * USUAL[0]):
            Cycle()
        assert Cycle.alive < 2 * TIMES * USUAL[0]


def test_blocks_that_end_in_another_order() -> None:
    first, second = ExitStack(), ExitStack()
    first.enter_context(collected_rarely())
    second.enter_context(collected_rarely())
    first.close()
    assert gc.get_threshold()[0] == TIMES * USUAL[0]
    second.close()
    assert (gc.get_threshold(), gc.get_freeze_count()) == (USUAL, 0)


def test_what_others_have_frozen_stays_so() -> None:
    gc.freeze()
    try:
        with collected_rarely():
            pass
        assert gc.get_freeze_count() > 0
    finally:
        gc.unfreeze()


def test_an_error_ends_it() -> None:
    with pytest.raises(ZeroDivisionError), collected_rarely():
        raise ZeroDivisionError
    assert (gc.get_threshold(), gc.get_freeze_count()) == (USUAL, 0)


def test_a_threshold_that_cannot_be_a_hundred_times_more() -> None:
    gc.set_threshold(30_000_000)
    try:
        with collected_rarely():
            pass
        assert gc.get_threshold()[0] == 30_000_000
    finally:
        gc.set_threshold(*USUAL)
