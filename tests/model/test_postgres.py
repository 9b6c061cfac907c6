"""Stories run on Postgres and by the oracle."""

from __future__ import annotations

from functools import partial

import pytest

from tests.fixtures.clock import SchemaClock
from tests.model.steps import stories
from tests.model.telling import tell
from tests.model.world import World


# Fifteen seconds, and many times that on a busy machine.
@pytest.mark.timeout(600)
def test_slots_are_sent_once_and_none_is_lost(moving: SchemaClock):
    tell(stories(40), partial(World, moving), number=50, seed_of_them=0)


@pytest.mark.chaos
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("seed", range(1, 26))
def test_fifty_thousand_steps(moving: SchemaClock, seed: int):
    tell(stories(60), partial(World, moving), number=67, seed_of_them=seed)
