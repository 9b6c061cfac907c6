"""Which silences are reported to the watchers of a stream."""

from __future__ import annotations

from airflow_pgmq.core.event_burst import LONGER, Burst


def test_only_two_silences_follow_a_burst():
    burst = Burst(5)
    assert burst.silence() is None
    burst.show(2)
    burst.store()
    burst.store()
    assert burst.silence() == 5
    first = burst.quiet()
    assert (first.burst, first.is_last) == (2, False)
    assert burst.silence() == 5 * LONGER
    second = burst.quiet()
    assert (second.burst, second.is_last) == (2, True)
    assert burst.silence() is None


def test_a_message_in_between_begins_again():
    burst = Burst(5)
    burst.show(1)
    burst.quiet()
    burst.show(1)
    assert burst.silence() == 5
    assert not burst.quiet().is_last


def test_the_second_silence_is_left_out_when_nobody_trails():
    burst = Burst(5)
    burst.show(1)
    burst.quiet()
    burst.end()
    assert burst.silence() is None
