"""What became of the messages of a send."""

from __future__ import annotations

import dataclasses
from datetime import datetime
from typing import Any, Literal

Status = Literal["sent", "duplicate", "replaced"]


@dataclasses.dataclass(frozen=True, slots=True)
class SendResult:
    """What became of one message of a send."""

    status: Status
    #: The message that has the key now: the new one, or for a duplicate the first one.
    msg_id: int
    dedup_key: str | None = None
    #: When the first message with the key was sent; None if this is the first.
    first_sent_at: datetime | None = None

    def as_dict(self) -> dict[str, Any]:
        """The result in JSON types, for XCom."""
        first = self.first_sent_at.isoformat() if self.first_sent_at else None
        return {**dataclasses.asdict(self), "first_sent_at": first}
