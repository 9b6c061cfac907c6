"""How far a tail is, over ids that appear in another order than they were given."""

from __future__ import annotations

from airflow_pgmq.core.tail import GRACE, MOST, Position


def test_ids_between_are_expected_until_they_appear() -> None:
    position = Position(after=10, floor=10)
    position.advance([11, 14], now=0)
    assert (position.after, list(position.missing)) == (14, [12, 13])
    position.advance([13], now=1)
    assert (position.after, list(position.missing)) == (14, [12])
    position.advance([15], now=GRACE - 1)
    assert list(position.missing) == [12]
    position.advance([], now=GRACE)
    assert list(position.missing) == []


def test_what_was_there_at_the_start_leaves_no_gaps() -> None:
    position = Position(after=-1, floor=100)
    position.advance([3, 50], now=0)
    assert (position.after, position.archived_after, position.missing) == (50, 100, {})
    position.advance([103], now=0)
    assert (position.archived_after, list(position.missing)) == (103, [101, 102])


def test_gaps_are_bounded_and_the_newest_are_kept() -> None:
    position = Position(after=0, floor=0)
    position.advance([5, 10_000_000], now=0)
    assert len(position.missing) == MOST
    assert max(position.missing) == 9_999_999
