"""Stories run by the pure decisions and by the oracle."""

from __future__ import annotations

import pytest

from tests.model.core_world import CoreWorld
from tests.model.steps import stories
from tests.model.telling import tell


def test_slots_are_sent_once_and_none_is_lost():
    tell(stories(40, decisions_only=True), CoreWorld, number=300, seed_of_them=0)


@pytest.mark.chaos
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("seed", range(1, 51))
def test_a_million_steps(seed: int):
    tell(stories(80, decisions_only=True), CoreWorld, number=500, seed_of_them=seed)
