"""How far a tail of a queue is: which messages it has shown, and which may still come."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

#: Seconds for which a message is expected whose id is lower than others that are there: its sender has not
#: committed yet, or it never will, or a consumer has deleted it.
GRACE = 60.0
#: At most this many of them, the newest.
MOST = 1000


@dataclass(slots=True)
class Position:
    """Ids are given before senders commit, so a lower one may appear after a higher one."""

    #: All that are higher are new.
    after: int
    #: The highest id at the start: what was archived before is left out.
    floor: int
    #: Lower ids that may still come, with when each was first missed.
    missing: dict[int, float] = field(default_factory=dict)

    @property
    def archived_after(self) -> int:
        """All of the archive that are higher are new."""
        return max(self.after, self.floor)

    def advance(self, ids: Iterable[int], now: float) -> None:
        """Note that these were shown."""
        for msg_id in sorted(ids):
            self.missing.pop(msg_id, None)
            if msg_id > self.after:
                skipped = range(max(self.archived_after + 1, msg_id - MOST), msg_id)
                self.missing.update(dict.fromkeys(skipped, now))
                self.after = msg_id
        kept = [(msg_id, at) for msg_id, at in self.missing.items() if now - at < GRACE]
        self.missing = dict(kept[-MOST:])
