"""What became of each slot of a job: when it was sent, where its message is, how long that took."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from airflow_pgmq.core import slot_history
from airflow_pgmq.core.jobs import PeriodicJob
from airflow_pgmq.core.messages import Row
from airflow_pgmq.core.slot_history import Progress, Sent

#: What is looked at of a job: its latest slots, in this time.
MOST, FURTHEST = 1000, timedelta(days=14)


@dataclass(frozen=True, slots=True)
class Message:
    """Where the message of a slot is."""

    #: `visible`, `in_flight` or `delayed` in its queue, `archived`, `dead`. Where nobody worked on an
    #: archived one, `_place` says `expired` or `cancelled`.
    place: str
    read_ct: int | None = None
    archived_at: datetime | None = None
    #: The start of the last work on it; archives of older PGMQ do not have it.
    last_read_at: datetime | None = None


def outcomes(
    job: PeriodicJob | None,
    computed: Iterable[datetime],
    rows: Iterable[Row],
    messages: Mapping[datetime, Message],
    unseen: Iterable[str],
    progress: Progress,
) -> list[dict[str, Any]]:
    """The slots of a job, newest first; those that only an earlier definition had are among them.

    :param job: None: this code cannot read it
    :param computed: slots that it should have had
    :param rows: slots that are known
    :param messages: where their messages are
    :param unseen: queues that could not be looked at
    """
    known = {row["slot"]: row for row in rows}
    sent = {slot: _sent(row) for slot, row in known.items() if row["msg_id"] is not None}
    shown = sorted({*(computed if job else ()), *sent})
    states = dict(slot_history.states(job, shown, progress, sent)) if job else {}
    states |= {slot: slot_history.state(each) for slot, each in sent.items() if slot not in states}
    hidden = set(unseen)
    found = [
        _outcome(slot, states[slot], known.get(slot) if slot in sent else None, messages.get(slot), hidden)
        for slot in sorted(states, reverse=True)
    ]
    return found[:MOST]


def _sent(row: Row) -> Sent:
    return Sent(
        row["first_at"], row["visible_at"], row["expires_at"], row["repeats"], row["queue_name"] == ""
    )


def _outcome(
    slot: datetime, state: str, row: Row | None, message: Message | None, unseen: set[str]
) -> dict[str, Any]:
    if row is None or row["queue_name"] == "":
        return {"slot": slot, "state": state, "place": None}
    # A slot that is sent late is visible when it is sent.
    visible_at = max(row["visible_at"], row["first_at"])
    place = (
        _place(message, row["expires_at"])
        if message
        else "unknown"
        if row["queue_name"] in unseen
        else "gone"
    )
    acked = message if message and place not in ("expired", "cancelled") else None
    return {
        "slot": slot,
        "state": state,
        "queue_name": row["queue_name"],
        "msg_id": row["msg_id"],
        "sent_at": row["first_at"],
        "late": max(0.0, (row["first_at"] - row["visible_at"]).total_seconds()),
        "visible_at": visible_at,
        "place": place,
        "read_ct": message.read_ct if message else None,
        "acked_at": acked.archived_at if acked else None,
        "took": _seconds(visible_at, acked.archived_at) if acked else None,
        "worked": _seconds(acked.last_read_at, acked.archived_at) if acked else None,
    }


def _place(message: Message, expires_at: datetime | None) -> str:
    """Where it is; what was archived without any work was not acked."""
    if message.place != "archived":
        return message.place
    # Consumers archive what had expired when they read it; maintenance, what nobody has read.
    seen_at = message.last_read_at or (None if message.read_ct else message.archived_at)
    if expires_at is not None and seen_at is not None and seen_at >= expires_at:
        return "expired"
    return "archived" if message.read_ct else "cancelled"


def _seconds(start: datetime | None, end: datetime | None) -> float | None:
    """How long it took; other clients may write any times."""
    return None if start is None or end is None else max(0.0, (end - start).total_seconds())
