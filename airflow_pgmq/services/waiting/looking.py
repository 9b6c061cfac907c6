"""One look for all waiters; a fault of one queue does not delay waiters of others."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial

from airflow_pgmq.db.client import DriverError, LockNotAvailable
from airflow_pgmq.db.statements import groups, overview, watching
from airflow_pgmq.db.statements.watching import Ask, Seen
from airflow_pgmq.errors import NotConnected, PgmqError
from airflow_pgmq.services.waiting.pool import QueryPool

#: How long to wait for a queue's lock, if the queue was locked at the last look.
IMPATIENCE = "50ms"


@dataclass
class Looked:
    """What a look found."""

    seen: dict[Ask, Seen] = field(default_factory=dict)
    mistakes: dict[Ask, Exception] = field(default_factory=dict)
    #: Queues that another session has locked exclusively, as VACUUM FULL does: to be looked at again.
    locked: set[str] = field(default_factory=set)

    @classmethod
    def of(cls, seen: dict[Ask, Seen]) -> Looked:
        """What the statement found; without its index it cannot look in order."""
        return cls(
            {ask: each for ask, each in seen.items() if each.indexed},
            {ask: groups.no_index(ask.queue_name) for ask, each in seen.items() if not each.indexed},
        )

    def add(self, other: Looked) -> None:
        """Add the results of another look."""
        self.seen |= other.seen
        self.mistakes |= other.mistakes
        self.locked |= other.locked


class Looker:
    """Remembers which queues were locked, and looks at them separately until they are not."""

    def __init__(self, pool: QueryPool) -> None:
        self._pool = pool
        self._locked: set[str] = set()

    async def look(self, limits: Mapping[Ask, int]) -> Looked:
        """Count what is visible for each ask, up to its limit."""
        apart = {ask: limit for ask, limit in limits.items() if ask.queue_name in self._locked}
        found = await self._ask({ask: limit for ask, limit in limits.items() if ask not in apart})
        found.add(await self._ask(apart, IMPATIENCE))
        self._locked -= {ask.queue_name for ask in limits}
        self._locked |= found.locked
        return found

    async def _ask(self, limits: Mapping[Ask, int], wait: str | None = None) -> Looked:
        """Ask for everything in one statement; if that fails, in halves, to find the queue that is wrong."""
        if not limits:
            return Looked()
        look = watching.look(limits)
        queue_names = {ask.queue_name for ask in limits}
        try:
            if wait is None:
                return Looked.of(await self._pool.run(look, waits_for_locks=False))
            briefly = partial(overview.briefly, look, wait)
            return Looked.of(await self._pool.run(briefly, waits_for_locks=False))
        except LockNotAvailable:
            if len(queue_names) == 1:
                return Looked(locked=queue_names)
            wait = IMPATIENCE
        except (PgmqError, DriverError) as exc:
            if len(limits) == 1 or isinstance(exc, NotConnected):
                return Looked(mistakes=dict.fromkeys(limits, exc))
        items = sorted(limits.items(), key=lambda item: item[0].queue_name)
        found = await self._ask(dict(items[: len(items) // 2]), wait)
        found.add(await self._ask(dict(items[len(items) // 2 :]), wait))
        return found
