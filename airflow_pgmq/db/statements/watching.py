"""Looking at many queues at once without a read, and the channels that announce their messages."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import Any

from airflow_pgmq.core import names
from airflow_pgmq.core.bell import Head, Held, Sight
from airflow_pgmq.core.messages import Row
from airflow_pgmq.db.statements import Statement, column, groups, on_queue, reading, union

#: What the notification says that tells waiters of a pause.
PAUSED = "paused"
#: And of messages of groups that were removed, whose next ones can be read.
SETTLED = "settled"

#: Counting visible messages ends here, unless a waiter waits for more.
COUNTED = 1000

#: A ring names at most this many slots.
SLOTS = 100

#: For this many hidden messages, those that come back first, it is checked whether readers hold them.
LOOKED_THROUGH = 10_000


@dataclass(frozen=True, slots=True)
class Ask:
    """What a waiter waits for; one look answers all waiters that ask the same."""

    queue_name: str
    condition: str | None = None
    headers_condition: str | None = None
    #: For messages that a read in order would return.
    ordered: bool = False

    @classmethod
    def of(
        cls,
        queue_name: str,
        condition: Mapping[str, Any] | None = None,
        headers_condition: Mapping[str, Any] | None = None,
        *,
        ordered: bool = False,
    ) -> Ask:
        """Check the name and both conditions; the name in lower case, as PGMQ's tables are."""
        return cls(
            names.lower(names.queue(queue_name)),
            reading.as_json(condition),
            reading.as_json(headers_condition),
            ordered,
        )

    @property
    def conditions(self) -> dict[str, Any]:
        """Both, as values of a statement."""
        return {"condition": self.condition, "headers_condition": self.headers_condition}


@dataclass(frozen=True, slots=True)
class Seen:
    """What a look found."""

    #: Matching messages that a read would return now, counted up to the limit of the look.
    count: int
    #: The earliest `enqueued_at` of the messages that were counted.
    oldest: datetime | None
    #: Seconds until another message of the queue becomes visible, matching or not; at most a day.
    next_in: float
    #: Whether inserts are announced on the queue's channel.
    announced: bool
    #: Seconds of the server's time.
    took: float
    #: Seconds for which the message that has been visible longest has been visible.
    waited: float
    #: Whether the queue is paused: then nothing is visible until it is resumed.
    paused: bool = False
    #: Whether it could look in order; False: the index is missing.
    indexed: bool = True

    @classmethod
    def from_row(cls, row: Row) -> Seen:
        """Take the columns by name."""
        return cls(
            row["visible"],
            row["oldest"],
            row["next_in"],
            row["announced"],
            row["took"],
            row["waited"],
            row["paused"],
            row["indexed"],
        )


@dataclass(frozen=True, slots=True)
class Arrived:
    """The content of a notification, whose messages are all visible."""

    count: int
    oldest: datetime


def arrived(payload: str) -> Arrived | None:
    """Parse the payload of our trigger; None for PGMQ's own, which has none."""
    count, _, oldest = payload.partition(" ")
    try:
        return Arrived(int(count), datetime.fromtimestamp(float(oldest), timezone.utc))
    except (ValueError, OverflowError, OSError):
        return None


def look(limits: Mapping[Ask, int]) -> Statement[dict[Ask, Seen]]:
    """Count what is visible for each ask, up to its limit, in one statement for all of them."""
    asks = list(limits)
    by_queue: dict[str, list[int]] = {}
    parts: list[Statement[Any]] = []
    for position, ask in enumerate(asks):
        if ask.ordered:
            parts.append(_look_in_groups(ask, position, limits[ask]))
        else:
            by_queue.setdefault(ask.queue_name, []).append(position)

    def decode(rows: Sequence[Row]) -> dict[Ask, Seen]:
        return {asks[row["position"]]: Seen.from_row(row) for row in rows}

    for queue_name, positions in by_queue.items():
        parts.append(
            on_queue(
                "look",
                queue_name,
                **_announcers(queue_name),
                positions=positions,
                conditions=[asks[position].condition for position in positions],
                headers_conditions=[asks[position].headers_condition for position in positions],
                limits=[limits[asks[position]] for position in positions],
            )
        )
    return union(parts, decode)


def _look_in_groups(ask: Ask, position: int, limit: int) -> Statement[Any]:
    return on_queue(
        "look_in_groups",
        ask.queue_name,
        **_announcers(ask.queue_name),
        settled_trigger=names.SETTLED_TRIGGER,
        **groups.to_look(ask.queue_name, limit),
        **ask.conditions,
        position=position,
        hidden=COUNTED,
    )


def _announcers(queue_name: str) -> dict[str, Any]:
    return {"quoted_table": names.quoted(*names.table(queue_name)), "announcers": list(names.OF_INSERTS)}


def sight(ask: Ask) -> Statement[Sight]:
    """What a doorbell needs to know of the messages that it rings for."""
    return on_queue(
        "sight_in_groups" if ask.ordered else "sight",
        ask.queue_name,
        _sight,
        hidden=LOOKED_THROUGH,
        **_visible(ask),
    )


def visible_slots(ask: Ask) -> Statement[list[str]]:
    """The slots of periodic jobs that a ring is for, the earliest ones, as in the messages' headers."""
    return on_queue(
        "visible_slots_in_groups" if ask.ordered else "visible_slots",
        ask.queue_name,
        column("slot"),
        limit=SLOTS,
        **_visible(ask),
    )


def _visible(ask: Ask) -> dict[str, Any]:
    if ask.ordered:
        return {**groups.to_look(ask.queue_name, COUNTED), **ask.conditions}
    return {"max_messages": COUNTED, **ask.conditions}


def _sight(rows: Sequence[Row]) -> Sight:
    (row,) = rows
    return Sight(
        visible=row["visible"],
        oldest=row["oldest"],
        head=None if row["msg_id"] is None else Head(row["msg_id"], row["read_ct"]),
        held=Held(row["held"], row["until"]) if row["held"] else None,
    )


def listen(channel: str) -> Statement[None]:
    """LISTEN on a channel; case is kept."""
    return Statement("listen", identifiers={"channel": (channel,)})


def unlisten(channel: str) -> Statement[None]:
    """UNLISTEN."""
    return Statement("unlisten", identifiers={"channel": (channel,)})


def announce(channel: str) -> Statement[None]:
    """Send an empty notification."""
    return Statement("announce", {"channel": channel})


def alive() -> Statement[None]:
    """Health check: any answer."""
    return Statement("alive")
