"""How many stories are run, and from which seeds."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from hypothesis import HealthCheck, given, seed, settings, strategies

_OPTIONS: dict[str, Any] = {"deadline": None, "database": None, "suppress_health_check": list(HealthCheck)}


def tell(
    stories: strategies.SearchStrategy[Any], world: Callable[[Any], Any], *, number: int, seed_of_them: int
) -> None:
    """Run this many stories, always the same for one seed; the shortest that fails is reported."""

    @seed(seed_of_them)
    @settings(max_examples=number, **_OPTIONS)
    @given(stories)
    def told(story: Any) -> None:
        world(story).run()

    told()
