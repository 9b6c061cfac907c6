"""Live jobs: versions of what people put and delete at run time."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from airflow_pgmq.core import payload
from airflow_pgmq.core.jobs import PeriodicJob


@dataclass(frozen=True, kw_only=True)
class JobVersion:
    """What one change made of a live job."""

    name: str
    #: Counts up from 1, also over a deletion; messages have it in the header `version`.
    version: int
    #: The job as it is stored; None: the job was deleted.
    definition: Mapping[str, Any] | None
    changed_at: datetime
    changed_by: str

    @property
    def job(self) -> PeriodicJob | None:
        """The job, to look at or to put again; None: it was deleted.

        Raises one of `core.stored_jobs.UNREADABLE` if other code has put it, and this code cannot read it.
        """
        return None if self.definition is None else PeriodicJob.from_definition(self.name, self.definition)


def is_same(job: PeriodicJob, definition: Any) -> bool:
    """Whether a job is what is stored, whatever its version is."""
    own = json.loads(job.definition_json)
    return isinstance(definition, dict) and payload.is_same(
        {**own, "version": 0}, {**definition, "version": 0}
    )
