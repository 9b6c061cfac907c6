"""Retry after any error: a trigger that watches assets must never end or fail."""

from __future__ import annotations

import asyncio
from typing import Any

SHORTEST = 1.0
LONGEST = 60.0


class RetryForever:
    """Waits longer after each failure in a row, and logs a reason once, not at every attempt.

    The triggerer restarts a failed trigger within a second, without a pause and without end; an event about
    the failure would start a Dag run. So a failure is only logged.
    """

    def __init__(self, log: Any, what: str) -> None:
        self._log = log
        self._what = what
        self._reason: str | None = None
        self._delay = SHORTEST

    async def log_and_wait(self, error: Exception) -> None:
        """Log a failure and wait."""
        reason = f"{type(error).__name__}: {error}"
        if reason != self._reason:
            self._log.warning("%s: trying again until it works: %s", self._what, reason)
        self._reason = reason
        await asyncio.sleep(self._delay)
        self._delay = min(self._delay * 2, LONGEST)

    def succeeded(self) -> None:
        """Log that it works again, if it had failed."""
        if self._reason is not None:
            self._log.info("%s: works again", self._what)
        self._reason = None
        self._delay = SHORTEST
