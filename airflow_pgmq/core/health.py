"""Whether periodic jobs run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from airflow_pgmq.core import overdue
from airflow_pgmq.core.overdue import OverdueSlot

#: So many overdue slots are listed.
LISTED = 100


@dataclass(frozen=True, slots=True)
class Silent:
    """A namespace with jobs that are not paused, and that was not ticked for a while."""

    namespace: str
    ticked_at: datetime

    def __str__(self) -> str:
        """In a sentence, for people."""
        return f"Namespace {self.namespace} was not ticked since {self.ticked_at:%Y-%m-%dT%H:%M:%SZ}."


@dataclass(frozen=True, slots=True)
class Health:
    """What is wrong with the periodic jobs of a database."""

    overdue: Sequence[OverdueSlot]
    silent: Sequence[Silent]

    @property
    def is_good(self) -> bool:
        """Whether nothing is wrong."""
        return not self.overdue and not self.silent

    def as_dict(self) -> dict[str, Any]:
        """For JSON; of many slots only the oldest are listed."""
        return {
            "healthy": self.is_good,
            "overdue_count": len(self.overdue),
            "overdue": [each.as_dict() for each in self.overdue[:LISTED]],
            "silent": [{"namespace": each.namespace, "ticked_at": each.ticked_at} for each in self.silent],
        }

    def __str__(self) -> str:
        """In sentences, for people."""
        lines = [overdue.summary(self.overdue)] if self.overdue else []
        return (
            "\n".join([*lines, *map(str, self.silent)])
            or "No slot is overdue, and all namespaces are ticked."
        )
