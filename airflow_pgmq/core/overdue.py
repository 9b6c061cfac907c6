"""Slots that did not happen in time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any, Literal, TypeAlias

from airflow_pgmq.core.wording import number_of

#: What has become of the slot's message. `late` and `expired` are only told: they are no longer overdue.
OverdueState: TypeAlias = Literal["waiting", "in_flight", "dead", "not_sent", "unknown", "late", "expired"]

WORDS: dict[OverdueState, str] = {
    "waiting": "its message waits in queue {queue_name}",
    "in_flight": "a consumer of queue {queue_name} has its message",
    "dead": "its message is a dead letter of queue {queue_name}",
    "not_sent": "it was not sent",
    "unknown": "queue {queue_name} cannot be looked into by this role, or now",
    "late": "its message was acked too late in queue {queue_name}",
    "expired": "its message expired in queue {queue_name}, and nobody worked on it",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class OverdueSlot:
    """A slot whose message was not acked within the job's `expect_within`."""

    namespace: str
    #: The job.
    name: str
    slot: datetime
    queue_name: str
    #: None: it was not sent.
    msg_id: int | None
    #: The slot + `expect_within`.
    expected_at: datetime
    state: OverdueState
    #: When a tick or maintenance found it; None: none has looked since.
    found_at: datetime | None = None

    def as_dict(self) -> dict[str, Any]:
        """The fields, for XCom and JSON."""
        return asdict(self)

    def __str__(self) -> str:
        """In a sentence, for people."""
        why = WORDS[self.state].format(queue_name=self.queue_name)
        return (
            f"slot {self.slot:%Y-%m-%dT%H:%M:%SZ} of job {self.namespace}/{self.name} was expected by "
            f"{self.expected_at:%Y-%m-%dT%H:%M:%SZ}: {why}."
        )


def summary(found: Sequence[OverdueSlot]) -> str:
    """How many, and the oldest of them, for people."""
    oldest = min(found, key=lambda each: each.expected_at)
    return f"{number_of(len(found), 'slot is', 'slots are')} overdue; the oldest: {oldest}"
