"""Dedup keys: which of one call's messages share one, what became of each, how long a key is remembered.

Whether a key was sent before is decided in the database: `db/sql/sending.sql`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Literal, TypeAlias

from airflow_pgmq.core.send_results import SendResult, Status
from airflow_pgmq.errors import InvalidArgument

#: How long a key of scope `once`, and a slot of a periodic job, is remembered by default.
DEDUP_WINDOW = timedelta(days=7)

#: A thousand years: what is much later, Postgres cannot store.
LONGEST_WINDOW = timedelta(days=365_000)

Scope: TypeAlias = Literal["once", "queued"]
OnDuplicate: TypeAlias = Literal["skip", "replace", "fail"]

#: The database's answer for a key: whether it was free, the message that has it, and since when.
Claim: TypeAlias = tuple[Status, int, datetime]


def check_window(window: timedelta) -> None:
    """Refuse a window in which no key would be remembered, and one that Postgres cannot store."""
    if not isinstance(window, timedelta) or not timedelta(0) < window <= LONGEST_WINDOW:
        raise InvalidArgument(
            f"dedup_window must be a timedelta, positive and at most {LONGEST_WINDOW.days:,} days, "
            f"not {window!r}."
        )


def keys_of(dedup_key: str | Sequence[str] | None, count: int) -> Sequence[str] | None:
    """One key, or one for each message, as the keys of this many messages."""
    if not isinstance(dedup_key, str):
        return dedup_key
    if count != 1:
        raise InvalidArgument(
            f"One dedup_key for {count} messages would send only the first; give a list, one for each."
        )
    return [dedup_key]


def first_of_each(keys: Sequence[str]) -> dict[str, int]:
    """Position of each key's first message; the others are duplicates inside the call."""
    first: dict[str, int] = {}
    for position, key in enumerate(keys):
        first.setdefault(key, position)
    return first


def last_of_each(keys: Sequence[str]) -> dict[str, int]:
    """Position of each key's last message, which replaces the others; in the order of the first ones."""
    last = first_of_each(keys)
    for position, key in enumerate(keys):
        last[key] = position
    return last


def results(
    keys: Sequence[str], answers: Mapping[str, Claim], replaced: set[str], on_duplicate: OnDuplicate
) -> list[SendResult]:
    """What became of each message of one call, in its order; repeats inside the call are duplicates, too."""
    if len(answers) == len(keys) and not replaced:
        return [
            SendResult(status, msg_id, key, None if status == "sent" else first_at)
            for key, (status, msg_id, first_at) in zip(keys, map(answers.__getitem__, keys), strict=True)
        ]
    seen: set[str] = set()
    outcome = []
    for key in keys:
        status, msg_id, first_at = answers[key]
        if key in replaced or (key in seen and on_duplicate == "replace" and status == "sent"):
            status = "replaced"
        elif key in seen:
            status = "duplicate"
        seen.add(key)
        outcome.append(SendResult(status, msg_id, key, None if status == "sent" else first_at))
    return outcome
