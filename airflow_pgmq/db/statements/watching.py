"""Looking at many queues at once without a read, and the channels that announce their messages."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import Any

from airflow_pgmq.core import names
from airflow_pgmq.core.bell import Head, Held, Sight
from airflow_pgmq.core.messages import Row
from airflow_pgmq.db.statements import Statement, column, on_queue, reading, union

#: Triggers on a queue's table that announce its messages: ours and PGMQ's own.
ANNOUNCERS = ["airflow_pgmq_notify", "trigger_notify_queue_insert_listeners"]

#: What the notification says that tells waiters of a pause.
PAUSED = "paused"

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
    condition: str | None
    headers_condition: str | None

    @classmethod
    def of(
        cls,
        queue_name: str,
        condition: Mapping[str, Any] | None = None,
        headers_condition: Mapping[str, Any] | None = None,
    ) -> Ask:
        """Check the name and both conditions; the name in lower case, as PGMQ's tables are."""
        conditions = [reading.as_json(each) for each in (condition, headers_condition)]
        return cls(names.lower(names.queue(queue_name)), *conditions)


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
    for position, ask in enumerate(asks):
        by_queue.setdefault(ask.queue_name, []).append(position)

    def decode(rows: Sequence[Row]) -> dict[Ask, Seen]:
        return {asks[row["position"]]: Seen.from_row(row) for row in rows}

    return union(
        [
            on_queue(
                "look",
                queue_name,
                quoted_table=names.quoted(*names.table(queue_name)),
                announcers=ANNOUNCERS,
                positions=positions,
                conditions=[asks[position].condition for position in positions],
                headers_conditions=[asks[position].headers_condition for position in positions],
                limits=[limits[asks[position]] for position in positions],
            )
            for queue_name, positions in by_queue.items()
        ],
        decode,
    )


def sight(
    queue_name: str,
    condition: Mapping[str, Any] | None = None,
    headers_condition: Mapping[str, Any] | None = None,
) -> Statement[Sight]:
    """What a doorbell needs to know of the messages that it rings for."""
    return on_queue(
        "sight",
        queue_name,
        _sight,
        condition=reading.as_json(condition),
        headers_condition=reading.as_json(headers_condition),
        limit=COUNTED,
        hidden=LOOKED_THROUGH,
    )


def _sight(rows: Sequence[Row]) -> Sight:
    (row,) = rows
    return Sight(
        visible=row["visible"],
        oldest=row["oldest"],
        head=None if row["msg_id"] is None else Head(row["msg_id"], row["read_ct"]),
        held=Held(row["held"], row["until"]) if row["held"] else None,
    )


def visible_slots(
    queue_name: str,
    condition: Mapping[str, Any] | None = None,
    headers_condition: Mapping[str, Any] | None = None,
) -> Statement[list[str]]:
    """The slots of periodic jobs that a ring is for, the earliest ones, as in the messages' headers."""
    return on_queue(
        "visible_slots",
        queue_name,
        column("slot"),
        condition=reading.as_json(condition),
        headers_condition=reading.as_json(headers_condition),
        counted=COUNTED,
        limit=SLOTS,
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
