"""When a test may begin."""

from __future__ import annotations

import pytest

from tests.fixtures.patience import before_the_hour

HOUR = 3600


@pytest.mark.parametrize(
    ("now", "left"),
    [(0, 0), (0.5, 0), (HOUR - 61, 0), (HOUR - 60, 60), (HOUR - 0.25, 0.25), (HOUR, 0), (9 * HOUR - 7, 7)],
)
def test_a_test_that_might_see_the_hour_turn_waits_for_it(now, left):
    assert before_the_hour(now, 60) == left
