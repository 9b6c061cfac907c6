"""Order within groups: which of the groups' next messages a reader takes, and where it goes on.

A group is the header `x-pgmq-group`. Its next message is the one that was read and is not settled, or else
the one with the lowest id; while that one is hidden, the group has none. So at most one of a group is out at
a time. A message without a group is one by itself.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, islice, takewhile, zip_longest

#: Groups that a read takes at most: each has a lock until the end of the transaction, and Postgres has room
#: for some thousand locks.
MOST_GROUPS = 250


@dataclass(slots=True)
class GroupCursor:
    """Where a reader goes on: after this group, in the order of their names. None: anywhere."""

    after: str | None = None


@dataclass(frozen=True, slots=True)
class Candidate:
    """A message that may be read."""

    #: None: it has none.
    group: str | None
    msg_id: int
    #: How often it was tried before.
    tries: int


def choose(found: Sequence[Candidate], most: int) -> tuple[list[Candidate], str | None]:
    """What to read, and the group to go on after; None: as before.

    A message that was tried is read alone, as it is without order: if it kills its readers, that costs no
    other message a try. If it is not its turn, the next read begins with it.

    :param found: the groups' messages in the order in which the groups come, and others
    """
    first_ones = list(islice(_in_turn(found), most))
    if first_ones and first_ones[0].tries:
        return first_ones[:1], first_ones[0].group
    first_tried = next((each for each in first_ones if each.tries and each.group is not None), None)
    before = list(takewhile(lambda each: each is not first_tried, first_ones))
    after = next((each.group for each in reversed(before) if each.group is not None), None)
    return [each for each in first_ones if not each.tries], after


def _in_turn(found: Sequence[Candidate]) -> Iterator[Candidate]:
    """One of a group, one without, and so on, so that neither kind waits for the end of the other."""
    grouped = [each for each in found if each.group is not None]
    alone = [each for each in found if each.group is None]
    return (each for each in chain.from_iterable(zip_longest(grouped, alone)) if each is not None)
