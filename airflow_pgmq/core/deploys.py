"""What a deploy of declared jobs changes in the jobs that the database knows."""

from __future__ import annotations

import hashlib
import marshal
from collections.abc import Iterable, Mapping, Set
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from airflow_pgmq.core import payload
from airflow_pgmq.core.jobs import PeriodicJob


@dataclass(frozen=True)
class Stored:
    """A job as the database knows it."""

    name: str
    version: int
    fingerprint: str
    queue_name: str
    watermark: datetime
    next_slot: datetime | None
    paused: bool
    #: Put at run time: a deploy leaves it alone.
    live: bool = False


@dataclass(frozen=True)
class Deploy:
    """What a set of declared jobs changes in the stored ones."""

    added: tuple[PeriodicJob, ...] = ()
    changed: tuple[PeriodicJob, ...] = ()
    removed: tuple[str, ...] = ()
    #: Jobs whose stored definition is newer than ours, or that only newer code knows: not changed.
    outdated: frozenset[str] = frozenset()

    def without(self, names: Set[str]) -> Deploy:
        """The same, except that these jobs stay as they are."""
        return replace(
            self,
            added=tuple(job for job in self.added if job.name not in names),
            changed=tuple(job for job in self.changed if job.name not in names),
            removed=tuple(name for name in self.removed if name not in names),
        )


def deploy(
    declared: Mapping[str, PeriodicJob],
    stored: Mapping[str, Stored],
    *,
    version: int,
    stored_version: int,
    rollback: bool = False,
) -> Deploy:
    """Compare the code's jobs with the database's: only a rollback lets a lower version replace a higher."""
    same = {n for n, job in declared.items() if n in stored and stored[n].fingerprint == job.fingerprint}
    if version < stored_version and not rollback:
        return Deploy(outdated=frozenset((declared.keys() | stored.keys()) - same))
    older = {n for n, job in declared.items() if n in stored and job.version < stored[n].version}
    if rollback:
        older = set()
    return Deploy(
        added=tuple(job for n, job in declared.items() if n not in stored),
        changed=tuple(job for n, job in declared.items() if n in stored and n not in same | older),
        removed=tuple(n for n in stored if n not in declared),
        outdated=frozenset(older - same),
    )


def set_fingerprint(jobs: Iterable[PeriodicJob]) -> str:
    """One value for all jobs, so that a tick that changes nothing compares one string."""
    # Not JSON, which takes three times as long: an idle tick does little else. If another Python writes it in
    # another way, a tick compares job by job. Version 2 has no references, so only values count.
    values: Any = [(job.name, job.definition_values) for job in jobs]
    try:
        written = marshal.dumps(values, 2)
    except ValueError:
        # A subclass, such as an enum of texts.
        written = payload.dumps(values, what="jobs", max_bytes=None).encode()
    return hashlib.sha256(written).hexdigest()[:32]
