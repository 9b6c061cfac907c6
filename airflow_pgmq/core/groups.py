"""Order within groups: which of the groups' next messages a reader takes, and where it goes on.

A group is the header `x-pgmq-group`. Its next message is the one that was read and is not settled, or else
the one with the lowest id; while that one is hidden, the group has none. So at most one of a group is out at
a time. A message without a group is one by itself.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import chain, islice, takewhile, zip_longest
from typing import TYPE_CHECKING, Literal, NamedTuple, TypeAlias

if TYPE_CHECKING:
    from airflow_pgmq.core.messages import Message

#: What becomes of the rest of a group when a message of it is dead.
OnDead: TypeAlias = Literal["go_on", "stop_group"]

#: PGMQ's header for the group of a message.
GROUP = "x-pgmq-group"

#: Groups that a read takes at most: each has a lock until the end of the transaction, and Postgres has room
#: for some thousand locks.
MOST_GROUPS = 250


def has_group(message: Message) -> bool:
    """Whether a message is of a group."""
    return isinstance(message.headers, Mapping) and message.headers.get(GROUP) not in (None, "")


@dataclass(frozen=True, slots=True)
class StoppedGroup:
    """A group that goes on only when somebody says so."""

    group: str
    #: The message that was dead: it is still the next one of its group.
    msg_id: int
    #: How often it was tried.
    tries: int
    reason: str | None
    stopped_at: datetime | None


#: Whether the next message of a group can be read, and if not, what holds it back.
State: TypeAlias = Literal["ready", "delayed", "retry", "with_reader", "stopped"]


@dataclass(frozen=True, slots=True)
class Group:
    """A group that has messages."""

    group: str
    state: State
    #: When it may be read: the end of a delay, back-off or visibility timeout. None: now, or never by itself.
    until: datetime | None
    #: Its next message, and how often that was tried.
    msg_id: int
    tries: int
    #: How many messages it has; counting ends at 1,000.
    messages: int
    #: Why it is stopped, and since when.
    reason: str | None = None
    stopped_at: datetime | None = None


def state(*, read_ct: int, is_released: bool, is_stopped: bool, until: datetime, now: datetime) -> State:
    """What a group's next message says about it."""
    if until <= now:
        return "ready"
    if is_stopped:
        return "stopped"
    if read_ct == 0:
        return "delayed"
    return "retry" if is_released else "with_reader"


@dataclass(slots=True)
class GroupCursor:
    """Where a reader goes on, so that nobody waits for the end of others."""

    #: After this group, in the order of their names. None: anywhere.
    after: str | None = None
    #: With a message without a group. None: with the older one.
    alone_first: bool | None = None


@dataclass(frozen=True, slots=True)
class Candidate:
    """A message that may be read."""

    #: None: it has none.
    group: str | None
    msg_id: int
    #: How often it was tried before.
    tries: int


class Choice(NamedTuple):
    """What to read, and where the next read goes on."""

    messages: list[Candidate]
    #: None: as before.
    after: str | None
    alone_first: bool | None


def choose(found: Sequence[Candidate], most: int, alone_first: bool | None = None) -> Choice:
    """What to read of the messages that may be read.

    A message that was tried is read alone, as it is without order: if it kills its readers, that costs no
    other message a try. If it is not its turn, the next read begins with it.

    :param found: the groups' messages in the order in which the groups come, and others
    :param alone_first: whether it is the turn of one without a group; None: of the older one
    """
    first_ones = list(islice(_in_turn(found, alone_first), most))
    if not first_ones:
        return Choice([], None, alone_first)
    if first_ones[0].tries:
        return Choice(first_ones[:1], first_ones[0].group, first_ones[0].group is not None)
    first_tried = next((each for each in first_ones if each.tries and each.group is not None), None)
    before = list(takewhile(lambda each: each is not first_tried, first_ones))
    after = next((each.group for each in reversed(before) if each.group is not None), None)
    chosen = [each for each in first_ones if not each.tries]
    waits = next((each for each in first_ones if each.tries), None)
    return Choice(chosen, after, chosen[-1].group is not None if waits is None else waits.group is None)


def _in_turn(found: Sequence[Candidate], alone_first: bool | None) -> Iterator[Candidate]:
    """One of a group, one without, and so on, so that neither kind waits for the end of the other."""
    grouped = [each for each in found if each.group is not None]
    alone = [each for each in found if each.group is None]
    if alone_first is None and grouped and alone:
        # Readers that read once, and know nothing of one another, must not all begin with the same kind.
        alone_first = alone[0].msg_id < grouped[0].msg_id
    kinds = (alone, grouped) if alone_first else (grouped, alone)
    return (each for each in chain.from_iterable(zip_longest(*kinds)) if each is not None)
