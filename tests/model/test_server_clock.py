"""The same on a server where every clock is moved, also those that functions in a schema cannot replace."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

import pytest

from tests.fixtures.clock import ServerClock, server_with_clock
from tests.model.steps import stories
from tests.model.telling import tell
from tests.model.test_known import STORIES
from tests.model.world import World


@pytest.fixture(scope="module")
def server_clock(tmp_path_factory) -> Iterator[ServerClock]:
    with server_with_clock(tmp_path_factory.mktemp("clock")) as clock:
        yield clock


def test_slots_are_sent_once_and_none_is_lost(server_clock: ServerClock):
    tell(stories(30), partial(World, server_clock), number=10, seed_of_them=0)


@pytest.mark.parametrize(
    "name",
    [
        "clocks change, session Europe/Berlin, 1",
        "clocks change, session Europe/Berlin, 2",
        "the clock ahead and back",
        "a queue made again after an outage",
    ],
)
def test_story(server_clock: ServerClock, name: str):
    World(server_clock, STORIES[name]).run()
