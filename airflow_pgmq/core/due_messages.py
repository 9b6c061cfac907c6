"""What a tick has to do for a job: the messages of its slots that are due, and where it continues."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

from airflow_pgmq.core import slots
from airflow_pgmq.core.jobs import PeriodicJob
from airflow_pgmq.core.messages import Row
from airflow_pgmq.core.slot_messages import Outgoing
from airflow_pgmq.core.stored_jobs import UNREADABLE, unreadable
from airflow_pgmq.errors import InvalidMessage

_TICK = timedelta(microseconds=1)

#: Makes the message of a job's slot.
MakeMessage = Callable[[PeriodicJob, datetime], Outgoing]


@dataclass(slots=True)
class DueMessages:
    """What is due of one job."""

    name: str
    items: list[Outgoing] = field(default_factory=list)
    #: Where the job continues; None if its slots cannot be computed.
    state: dict[str, Any] | None = None
    #: Slots that were to be sent again, and now are, or are left out.
    resent: Sequence[datetime] = ()
    dropped: int = 0
    #: How many slots were computed.
    computed: int = 0
    failed: list[str] = field(default_factory=list)


def due_messages(
    job: PeriodicJob, row: Row, window: slots.Window, make: MakeMessage, *, is_busy: bool
) -> DueMessages:
    """What is due of one job, by its row in the database.

    :param is_busy: its newest message is still there, and the job must not overlap
    """
    try:
        due = slots.due(job, row["watermark"], row["next_slot"], window, row["to_resend"], row["skipped"])
    except UNREADABLE as exc:
        # A fault of ours, or of a library: it must not stop the other jobs.
        return DueMessages(job.name, failed=[f"its slots cannot be computed: {unreadable(exc)}"])
    wanted = [] if is_busy else due.slots
    dropped = due.dropped + len(due.slots) - len(wanted)
    items, failed = _made(job, wanted, make)
    done = row["to_resend"]
    why: list[str] = []
    if failed is not None:
        # Nothing is lost: the job waits at that slot until it is deployed with a template that works.
        wanted = [item.slot for item in items]
        at, why = failed
        is_new = at > row["watermark"]
        watermark = at - _TICK if is_new else row["watermark"]
        due = replace(due, watermark=watermark, next_slot=at if is_new else row["next_slot"])
        done = [slot for slot in done if slot < at]
    state = {
        "name": job.name,
        "watermark": due.watermark,
        "next_slot": due.next_slot,
        "last_slot": max(wanted, default=None),
    }
    return DueMessages(job.name, items, state, done, dropped, due.computed, why)


def _made(
    job: PeriodicJob, wanted: Sequence[datetime], make: MakeMessage
) -> tuple[list[Outgoing], tuple[datetime, list[str]] | None]:
    """The messages of slots, up to the first one for which the job's template fails, and why."""
    items: list[Outgoing] = []
    for slot in wanted:
        try:
            items.append(make(job, slot))
        except InvalidMessage as exc:
            return items, (slot, [exc.text])
        except UNREADABLE as exc:
            # A live job may have been stored by other code; it must not stop the other jobs.
            return items, (slot, [f"its message cannot be made: {unreadable(exc)}"])
    return items, None


def in_parts(
    jobs: Iterator[DueMessages], size: int, *, most_sent: float, most_computed: float
) -> Iterator[tuple[list[DueMessages], bool]]:
    """Jobs in parts of this size, and whether a part is known to be the last one.

    No job comes after so many messages to be sent, or so many slots computed.
    """
    part: list[DueMessages] = []
    sent = computed = 0
    for each in jobs:
        part.append(each)
        sent += len(each.items)
        computed += each.computed
        is_full = sent >= most_sent or computed >= most_computed
        if is_full or len(part) == size:
            yield part, is_full
            part = []
        if is_full:
            return
    if part:
        yield part, True
