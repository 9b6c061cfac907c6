"""The process's timer: each owner's call at its time, in one thread."""

from __future__ import annotations

import os
import threading

import pytest

from airflow_pgmq.core.consumer_policy import MOST, Policy
from airflow_pgmq.services.consuming.timer import Timer


def test_calls_come_in_the_order_of_their_times() -> None:
    timer, made, done = Timer(), list[str](), threading.Event()
    timer.set("late", 0.2, done.set)
    timer.set("second", 0.05, lambda: made.append("second"))
    timer.set("first", 0, lambda: made.append("first"))
    assert done.wait(60)
    assert made == ["first", "second"]


def test_an_owner_has_one_call() -> None:
    timer, made, done = Timer(), list[str](), threading.Event()
    timer.set("owner", 0.05, lambda: made.append("old"))
    timer.set("owner", 0.1, lambda: made.append("new"))
    timer.set("other", 0.01, lambda: made.append("cancelled"))
    timer.cancel("other")
    timer.cancel("unknown")
    timer.set("last", 0.2, done.set)
    assert done.wait(60)
    assert made == ["new"]


def test_a_call_may_set_the_next_one() -> None:
    timer, done = Timer(), threading.Event()
    timer.set("owner", 0, lambda: timer.set("owner", 0.01, done.set))
    assert done.wait(60)


def test_there_is_one_thread_and_none_before_it_is_needed() -> None:
    timer = Timer()
    assert timer._thread is None
    timer.cancel("owner")
    assert timer._thread is None
    timer.set("one", 60, lambda: None)
    thread = timer._thread
    timer.set("two", 30, lambda: None)
    assert thread is not None
    assert timer._thread is thread
    assert thread.daemon


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_a_forked_process_begins_anew() -> None:
    from airflow_pgmq.services.consuming.timer import TIMER

    TIMER.set("parent", 60, lambda: None)
    child = os.fork()
    if child == 0:
        status = 1
        try:
            done = threading.Event()
            TIMER.set("child", 0, done.set)
            status = 0 if done.wait(60) and "parent" not in TIMER._calls else 1
        finally:
            os._exit(status)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    TIMER.cancel("parent")


@pytest.mark.parametrize(
    ("size", "seconds", "wanted"),
    [(1, 0, 4), (1, 0.001, 4), (4, 0.001, 16), (64, 0.001, MOST), (100, 0.05, MOST), (100, 1, 10), (4, 8, 1)],
)
def test_a_batch_is_a_tenth_of_a_second_of_work(size: int, seconds: float, wanted: int) -> None:
    policy = Policy(queue_name="q", adapts_batch_size=True)
    assert policy.next_batch_size(size, seconds) == wanted


def test_a_fixed_batch_stays() -> None:
    assert Policy(queue_name="q", batch_size=7).next_batch_size(7, 0) == 7
