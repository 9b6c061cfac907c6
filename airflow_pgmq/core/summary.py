"""Counts of what a tick did."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from datetime import datetime
from typing import Any

from airflow_pgmq.core.dead_slots import DeadSlots
from airflow_pgmq.core.send_results import Status
from airflow_pgmq.core.slot_messages import Outgoing


@dataclass
class Summary:
    """What a tick did."""

    jobs: int = 0
    slots: int = 0
    sent: int = 0
    duplicates: int = 0
    #: Messages taken back because their job left the code or changed.
    taken_back: int = 0
    #: Sent after the instant at which they should have become visible.
    late: int = 0
    #: Seconds by which the latest of these was late.
    lateness: float = 0.0
    #: Slots left out by a job's catch-up or overlap policy.
    dropped: int = 0
    #: Slots left out because they would expire before a reader could see them.
    expired: int = 0
    #: Jobs left to newer code, including jobs that only the newer code knows.
    outdated: int = 0
    #: Slots that were not acked within their job's `expect_within`, and are not now.
    overdue: int = 0
    #: `sent` and `duplicates`, each by queue.
    by_queue: Counter[tuple[str, str]] = field(default_factory=Counter)
    #: The slots of which a message was sent, by queue.
    sent_slots: dict[str, set[datetime]] = field(default_factory=dict)
    #: Jobs that could not be sent, and why: their queue is missing or refuses, a calendar is missing, or a
    #: template fails.
    failed: dict[str, list[str]] = field(default_factory=dict)
    #: Jobs that were paused, since messages of their slots became dead letters.
    paused: list[DeadSlots] = field(default_factory=list)
    #: Dead letter queues that were not looked into: this role may not read them, or they are locked.
    unread: list[str] = field(default_factory=list)

    def add(self, more: Summary) -> None:
        """Add the counts of a round."""
        lateness = max(self.lateness, more.lateness)
        for each in fields(self):
            if each.name == "failed":
                self.failed |= more.failed
                continue
            if each.name == "sent_slots":
                # In place: a new set for each round would take the square of their number.
                for queue_name, found in more.sent_slots.items():
                    self.sent_slots.setdefault(queue_name, set()).update(found)
                continue
            setattr(self, each.name, getattr(self, each.name) + getattr(more, each.name))
        self.lateness = lateness

    def count(
        self, items: Sequence[Outgoing], claims: Mapping[str, tuple[Status, int, datetime]], now: datetime
    ) -> None:
        """Count the results of slots; those without a claim had expired."""
        self.slots += len(items)
        for item in items:
            if item.key not in claims:
                self.expired += 1
                continue
            queue_name = item.job.queue_name
            if claims[item.key][0] != "sent":
                self.duplicates += 1
                self.by_queue[queue_name, "duplicates"] += 1
                continue
            self.sent += 1
            self.by_queue[queue_name, "sent"] += 1
            self.sent_slots.setdefault(queue_name, set()).add(item.slot)
            if item.visible_at < now:
                self.late += 1
                self.lateness = max(self.lateness, (now - item.visible_at).total_seconds())

    def as_dict(self) -> dict[str, Any]:
        """The counts, for XCom."""
        counts = asdict(replace(self, lateness=round(self.lateness, 3), paused=[], sent_slots={}))
        del counts["by_queue"], counts["failed"], counts["sent_slots"], counts["unread"]
        return counts | {"paused": len(self.paused)}
