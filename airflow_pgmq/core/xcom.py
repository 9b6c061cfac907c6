"""Messages in XComs and asset events: whole, or by reference if Airflow cannot or should not carry them.

Airflow's processes exchange msgpack and store it in its database; jsonb can hold more than that. A message
that cannot be carried would end the task that returns it, or the triggerer, each time it is read again.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from typing import Any

from airflow_pgmq.core.messages import Message
from airflow_pgmq.core.payload import Unreadable
from airflow_pgmq.errors import InvalidMessage

#: What is nested deeper, Airflow's processes and their database do not carry.
MAX_DEPTH = 200


def in_event(message: Message, max_bytes: int) -> dict[str, Any]:
    """A message as its event carries it; above the limit by reference, with its content in the archive.

    :raises InvalidMessage: Airflow cannot carry it, and it would end the triggerer
    """
    if found := obstacle(message):
        raise InvalidMessage(found)
    whole = {**message.as_dict(), "by_reference": False}
    return whole if _size(whole) <= max_bytes else _by_reference(message)


def in_xcom(messages: Sequence[Message], max_bytes: int) -> list[dict[str, Any]]:
    """Messages as a task returns them: by reference those that cannot be carried, or all above the limit."""
    carried = [
        _by_reference(message) if obstacle(message) else {**message.as_dict(), "by_reference": False}
        for message in messages
    ]
    return carried if _size(carried) <= max_bytes else [_by_reference(message) for message in messages]


def obstacle(message: Message) -> str | None:
    """Why Airflow cannot carry the content of a message; None if it can."""
    if isinstance(message.message, Unreadable):
        return message.message.reason
    values: list[Any] = [message.message, message.headers]
    for _ in range(MAX_DEPTH):
        if not values:
            return None
        for each in values:
            if isinstance(each, int) and not -(2**63) <= each < 2**64:
                return "it holds a number that is no 64-bit integer"
            if isinstance(each, float) and not math.isfinite(each):
                return "it holds a number that is too large"
        nested = (each for each in values if isinstance(each, (dict, list)))
        values = [inner for each in nested for inner in (each.values() if isinstance(each, dict) else each)]
    return f"it is nested deeper than {MAX_DEPTH} levels" if values else None


def _by_reference(message: Message) -> dict[str, Any]:
    return {**message.as_dict(), "message": None, "headers": {}, "by_reference": True}


def _size(carried: Any) -> int:
    return len(json.dumps(carried, ensure_ascii=False).encode(errors="replace"))
