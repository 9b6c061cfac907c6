"""What asset watchers of a queue must agree on to share one reader."""

from __future__ import annotations

import dataclasses
from typing import Any, Literal, TypeAlias, get_args

from airflow_pgmq.core import delays, names
from airflow_pgmq.core.event_delivery import Unmatched
from airflow_pgmq.errors import InvalidArgument, InvalidName

Per: TypeAlias = Literal["message", "batch"]


@dataclasses.dataclass(kw_only=True, eq=False, repr=False)
class StreamSettings:
    """How a queue is read into asset events; `PgmqEventTrigger` describes the fields."""

    queue_name: str
    pgmq_conn_id: str = "pgmq_default"
    ordered: bool = False
    per: Per = "message"
    batch_size: int = 50
    max_in_flight: int = 100
    max_event_bytes: int = 65_536
    visibility_timeout: int = 60
    unmatched: Unmatched = "release"
    unmatched_delay: float = 30.0
    max_reads: int = 20
    dead_letter_queue: str | None = None
    quiet_after: float = 5.0

    def stream_settings(self) -> dict[str, Any]:
        """These fields only, without what subclasses add."""
        return {field.name: getattr(self, field.name) for field in dataclasses.fields(StreamSettings)}

    def check(self) -> None:
        """Raise for settings that would not work, when the Dag file is parsed."""
        names.queue(self.queue_name)
        if self.per not in get_args(Per) or self.unmatched not in get_args(Unmatched):
            raise InvalidArgument(f"per is one of {get_args(Per)}, unmatched one of {get_args(Unmatched)}")
        at_least_one = {
            name: getattr(self, name)
            for name in ("batch_size", "max_in_flight", "max_reads", "visibility_timeout")
        }
        if wrong := [name for name, value in at_least_one.items() if value < 1]:
            raise InvalidArgument(f"{', '.join(wrong)} must be at least 1")
        if self.quiet_after <= 0 or self.unmatched_delay < 0:
            raise InvalidArgument("quiet_after must be positive, unmatched_delay must not be negative")
        delays.parse(self.unmatched_delay)
        if self.dead_letters == self.queue_name:
            raise InvalidName(f"Queue {self.queue_name!r} cannot be its own dead-letter queue.")

    @property
    def dead_letters(self) -> str:
        """The queue for messages that were refused or read too often."""
        return self.dead_letter_queue or names.dead_letter_queue(self.queue_name)
