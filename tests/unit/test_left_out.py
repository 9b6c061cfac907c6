"""Jobs that a tick left out, as they are stored and told."""

from __future__ import annotations

from airflow_pgmq.core.left_out import LENGTH, STORED, stored, told


def test_none() -> None:
    assert stored({}) == ""
    assert told("") is None


def test_they_are_told_with_their_reasons() -> None:
    text = stored({"b": ["queue 'q' does not exist."], "a": ["one", "two"]})
    assert told(text) == "The last tick left out 2 jobs. a: one; two; b: queue 'q' does not exist."


def test_many_are_counted() -> None:
    failed = {f"job{number:03}": ["x" * 1000] for number in range(500)}
    text = stored(failed)
    assert len(text) < STORED * (LENGTH + 20)
    assert (told(text) or "").endswith("; and 495 more.")


def test_a_reason_may_have_any_characters() -> None:
    text = stored({"a": ["\0 \ud800 里程"]})
    assert text.isascii()
    assert "\0" not in text
    assert told(text) == "The last tick left out 1 job. a: \0 \\ud800 里程."
