"""What may happen: each step is independent, so a list of steps is a story that can be run again.

A step refers to a job or a message by a number, modulo how many exist.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta, timezone
from typing import Any

from hypothesis import strategies as st

from tests.model.facts import TEMPLATE, Definition
from tests.model.schedules import (
    DAY,
    HOUR,
    MINUTE,
    SECOND,
    Apart,
    Daily,
    Every,
    Hourly,
    Without,
    Workdaily,
    Yearly,
)

QUEUES = ("mail", "post")
NAMES = ("a", "b")
#: A Dag may declare the first one, too.
LIVE_NAMES = ("b", "live")
ZONES = ("UTC", "Europe/Berlin", "America/New_York", "Australia/Lord_Howe")


def _utc(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=timezone.utc)


#: An ordinary day, and the hours before clocks change in one of the zones.
STARTS = tuple(
    map(
        _utc,
        (
            "2027-06-10 09:58:30",
            "2027-03-28 00:09:00",
            "2027-10-31 00:09:00",
            "2027-11-07 05:09:00",
            "2027-04-03 14:09:00",
        ),
    )
)

SCHEDULES = (
    Every(300),
    Every(60),
    Every(20),
    Every(900),
    *(Hourly(minute, zone) for minute in (0, 45) for zone in ("UTC", "Australia/Lord_Howe")),
    *(Daily(2, minute, zone) for minute in (0, 30) for zone in ZONES),
    Daily(3, 0, "Europe/Berlin"),
    Daily(1, 0, "UTC"),
    Yearly(),
    Apart(7),
    Apart(95),
    Without(Every(300)),
    *(Workdaily(Daily(2, 30, zone), "next") for zone in ZONES),
    Workdaily(Daily(23, 0, "Europe/Berlin"), "skip"),
)

#: The fields of a job that a deploy may change.
FIELDS: dict[str, tuple[Any, ...]] = {
    "payload": ({"n": 1, "m": [1, {"x": 1, "y": 2}]}, {"m": [1, {"y": 2, "x": 1}], "n": 1}, {"n": 2}, {})
    + ({"at": TEMPLATE},),
    "schedule": SCHEDULES,
    "queue": QUEUES,
    "jitter": (timedelta(0), HOUR, 90 * SECOND),
    "ttl": (None, HOUR, 5 * MINUTE, 30 * SECOND),
    "version": (0, 1, 2),
    "headers": ({}, {"of": "me", "x": {"a": 1, "b": 2}}, {"x": {"b": 2, "a": 1}, "of": "me"}),
    "catch_up": ("all", "last", "none"),
    "limit": (1000, 3),
    "max_age": (DAY, 20 * MINUTE),
    "overlap": ("allow", "skip", "queue_one"),
    "expect": (20 * MINUTE, None, 3 * HOUR),
    "pauses": (False, True),
}


@dataclass(frozen=True)
class Deploy:
    """One of the Dags changes a job, adds it or removes it, and ticks."""

    code: int
    name: str
    changes: Mapping[str, int] = field(default_factory=dict)
    removed: bool = False


@dataclass(frozen=True)
class Tick:
    """One of the Dags ticks as it is; may take over from a higher version that is silent."""

    code: int = 0
    rollback: bool = True


@dataclass(frozen=True)
class CutTick:
    """A tick whose connection is cut before or after its n-th round trip, and at each one after that."""

    code: int
    trip: int
    before: bool
    each: bool = True


@dataclass(frozen=True)
class Move:
    """The clock goes forward or back."""

    by: timedelta


@dataclass(frozen=True)
class Backfill:
    """A backfill run, or an interval that is cleared."""

    code: int
    since: timedelta
    length: timedelta


@dataclass(frozen=True)
class Pause:
    name: str


@dataclass(frozen=True)
class Resume:
    name: str


@dataclass(frozen=True)
class RunNow:
    name: str


@dataclass(frozen=True)
class Put:
    """Somebody makes or changes a live job; the changes are to the first definition."""

    name: str
    changes: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Delete:
    """Somebody deletes a live job."""

    name: str


@dataclass(frozen=True)
class Read:
    """Somebody reads some messages."""

    queue: str
    count: int
    timeout: int


@dataclass(frozen=True)
class Early:
    """Somebody makes a message visible before its time, by PGMQ's own function."""

    queue: str
    which: int


@dataclass(frozen=True)
class Ack:
    """Somebody settles a message that was read."""

    queue: str
    which: int
    how: str


@dataclass(frozen=True)
class Cancel:
    """Cancel a message by its key."""

    queue: str
    which: int


@dataclass(frozen=True)
class Requeue:
    """Requeue an archived message."""

    queue: str
    which: int


@dataclass(frozen=True)
class Purge:
    queue: str


@dataclass(frozen=True)
class Drop:
    """Others drop a queue; it is missing until somebody makes it again."""

    queue: str


@dataclass(frozen=True)
class Create:
    """Others make a queue again, after dropping it if it is there."""

    queue: str


@dataclass(frozen=True)
class LoseSchema:
    """Our schema is dropped. Not in random stories, because afterwards much cannot be known."""


Step = Any

#: How many steps were made, by world.
told: Counter[str] = Counter()

_names, _queues, _codes = st.sampled_from(NAMES), st.sampled_from(QUEUES), st.integers(0, 1)
_few = st.integers(0, 5)


def _changes() -> list[st.SearchStrategy[dict[str, int]]]:
    values = {name: st.integers(0, len(values) - 1) for name, values in FIELDS.items()}
    one = st.sampled_from(sorted(FIELDS)).flatmap(lambda name: st.fixed_dictionaries({name: values[name]}))
    two = st.tuples(one, one).map(lambda pair: {**pair[0], **pair[1]})
    return [one, two]


def _deploys() -> st.SearchStrategy[Step]:
    one, two = _changes()
    return st.builds(Deploy, _codes, _names, st.one_of(one, one, two))


_moves = st.sampled_from(
    [
        timedelta(seconds=n)
        for n in (0, 1, 20, 60, 61, 300, 600, 1800, 3600, 3 * 3600, 86400, -1, -600, -3600, -86400)
    ]
)

#: What the pure decisions know of, the usual first.
DECISIONS: tuple[st.SearchStrategy[Step], ...] = (
    st.builds(Tick, _codes, st.booleans()),
    st.builds(Tick),
    st.builds(Move, _moves),
    st.builds(Move, _moves),
    _deploys(),
    _deploys(),
    *(
        st.builds(Deploy, _codes, _names, st.just({}), st.just(True)),
        st.builds(
            Backfill, _codes, st.sampled_from([-2 * HOUR, -5 * MINUTE]), st.sampled_from([HOUR, 3 * HOUR])
        ),
        st.builds(Pause, _names),
        st.builds(Resume, _names),
    ),
)

#: What happens to messages, queues and connections.
EVENTS: tuple[st.SearchStrategy[Step], ...] = (
    st.builds(Read, _queues, _few, st.sampled_from((0, 60, 7200))),
    st.builds(CutTick, _codes, st.integers(1, 23), st.booleans(), st.booleans()),
    st.builds(RunNow, _names),
    *(st.builds(Put, st.sampled_from(LIVE_NAMES), changes) for changes in _changes()),
    st.builds(Delete, st.sampled_from(LIVE_NAMES)),
    st.builds(Early, _queues, _few),
    st.builds(Ack, _queues, _few, st.sampled_from(("archive", "delete", "release", "dead_letter"))),
    st.builds(Cancel, _queues, _few),
    st.builds(Requeue, _queues, _few),
    st.builds(Purge, _queues),
    st.builds(Drop, _queues),
    st.builds(Create, _queues),
)


@dataclass(frozen=True)
class Story:
    """Steps, and the world that they begin in."""

    steps: tuple[Step, ...]
    start: int = 0
    look_ahead: timedelta = 10 * MINUTE
    grace: timedelta = 5 * MINUTE
    #: The time zone of every session; it must not matter.
    session_zone: str = "UTC"


def stories(longest: int, *, decisions_only: bool = False) -> st.SearchStrategy[Story]:
    """Stories of up to this many steps."""
    steps = st.one_of(*DECISIONS) if decisions_only else st.one_of(*DECISIONS, *DECISIONS[:6], *EVENTS)
    return st.builds(
        Story,
        # The length is drawn first, because lists are mostly short otherwise.
        st.integers(1, longest).flatmap(lambda n: st.lists(steps, min_size=n, max_size=n)).map(tuple),
        st.integers(0, len(STARTS) - 1),
        st.sampled_from([10 * MINUTE, timedelta(0), 2 * HOUR]),
        st.sampled_from([5 * MINUTE, timedelta(0)]),
        st.sampled_from(["UTC", "Europe/Berlin", "Asia/Tokyo"]),
    )


def edit(code: dict[str, Definition], step: Deploy) -> None:
    """What a deploy changes in a Dag; it keeps one job at least."""
    if step.removed:
        if len(code) > 1:
            code.pop(step.name, None)
        return
    values = {name: FIELDS[name][value] for name, value in step.changes.items()}
    code[step.name] = replace(code.get(step.name, first_definition(step.name)), **values)


def put_definition(step: Put) -> Definition:
    """The live job that somebody puts."""
    values = {name: FIELDS[name][value] for name, value in step.changes.items()}
    return replace(first_definition(step.name), **values)


def first_definition(name: str) -> Definition:
    """A job as both Dags declare it in the beginning."""
    return Definition(name, **{each: values[0] for each, values in FIELDS.items()})
