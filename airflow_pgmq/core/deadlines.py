"""When a wait ends: `timeout` gives up, `execution_timeout` ends the task, whichever comes first."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta


@dataclass(frozen=True, slots=True)
class Deadlines:
    """The two instants, carried from one part of a deferred task to the next.

    Airflow itself starts `execution_timeout` again with each part, and does not count the time between.
    """

    timeout: datetime
    execution: datetime | None = None

    @classmethod
    def after(cls, started: datetime, timeout: timedelta, execution_timeout: timedelta | None) -> Deadlines:
        """Counted from the start of the try."""
        return cls(started + timeout, None if execution_timeout is None else started + execution_timeout)

    @classmethod
    def from_texts(cls, deadline: str, execution_deadline: str | None) -> Deadlines:
        """As `as_texts` wrote them."""
        execution = datetime.fromisoformat(execution_deadline) if execution_deadline else None
        return cls(datetime.fromisoformat(deadline), execution)

    def as_texts(self) -> dict[str, str]:
        """What Airflow can keep with a deferred task."""
        texts = {"deadline": self.timeout.isoformat()}
        if self.execution is not None:
            texts["execution_deadline"] = self.execution.isoformat()
        return texts

    @property
    def execution_is_first(self) -> bool:
        """Whether it is `execution_timeout` that ends the wait."""
        return self.execution is not None and self.execution < self.timeout

    @property
    def first(self) -> datetime:
        """When the wait ends."""
        return self.timeout if self.execution is None else min(self.timeout, self.execution)
