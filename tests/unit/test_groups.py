"""Which messages of groups a reader takes."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_pgmq.core.groups import Candidate, choose


def heads(names: str, **tries: int) -> list[Candidate]:
    return [Candidate(name, number, tries.get(name, 0)) for number, name in enumerate(names, 1)]


def alone(*msg_ids: int, tries: int = 0) -> list[Candidate]:
    return [Candidate(None, each, tries) for each in msg_ids]


def ids(chosen: list[Candidate]) -> list[int]:
    return [each.msg_id for each in chosen]


def test_the_first_groups_are_read_and_the_next_read_goes_on_behind_them() -> None:
    chosen, after, _ = choose(heads("abcd"), 3)
    assert (ids(chosen), after) == ([1, 2, 3], "c")


def test_nothing_is_read_where_there_is_nothing() -> None:
    assert choose([], 3) == ([], None, None)


def test_messages_without_a_group_have_their_share() -> None:
    chosen, after, _ = choose(heads("abcd") + alone(11, 12, 13), 5)
    assert (ids(chosen), after) == ([1, 11, 2, 12, 3], "c")
    chosen, after, _ = choose(alone(11, 12), 5)
    assert (ids(chosen), after) == ([11, 12], None)
    # Few of one kind leave their places to the other.
    chosen, _, _ = choose(heads("a") + alone(11, 12, 13), 4)
    assert ids(chosen) == [1, 11, 12, 13]


def test_what_was_tried_is_read_alone_and_its_turn_comes() -> None:
    found = heads("abcd", c=2)
    chosen, after, _ = choose(found, 4)
    assert (ids(chosen), after) == ([1, 2, 4], "b")
    # The next read begins behind b.
    chosen, after, _ = choose([found[2], found[3], found[0]], 4)
    assert (ids(chosen), after) == ([3], "c")
    # Without a group, it is the first one of the next read.
    chosen, after, alone_first = choose(heads("ab") + alone(9, tries=1), 4)
    assert (ids(chosen), after, alone_first) == ([1, 2], "b", True)
    found = heads("ab") + alone(9, tries=1)
    assert choose(found, 4, alone_first=True) == (alone(9, tries=1), None, False)
    assert choose(alone(9, tries=1), 4) == (alone(9, tries=1), None, False)


@pytest.mark.parametrize("tries", [0, 1])
def test_one_at_a_time_the_kinds_take_turns(tries: int) -> None:
    found, alone_first, order = heads("aaaa") + alone(11, 12, tries=tries), None, []
    while found:
        (chosen,), _, alone_first = choose(found, 1, alone_first)
        found.remove(chosen)
        order.append(chosen.msg_id)
    assert order == [1, 11, 2, 12, 3, 4]


def test_who_has_read_nothing_begins_with_the_older_one() -> None:
    """Otherwise new readers, each with one message, would never come to the other kind."""
    assert ids(choose(heads("a") + alone(7), 1).messages) == [1]
    assert ids(choose([Candidate("a", 8, 0), *alone(7)], 1).messages) == [7]


@given(
    st.lists(st.builds(Candidate, st.none() | st.text(max_size=2), st.integers(1, 99), st.integers(0, 2))),
    st.integers(1, 5),
)
def test_never_too_many_and_never_a_tried_one_with_others(found: list[Candidate], most: int) -> None:
    chosen, _, _ = choose(found, most)
    assert len(chosen) <= most
    assert len(chosen) == 1 or not any(each.tries for each in chosen)
    assert bool(chosen) == bool(found)
