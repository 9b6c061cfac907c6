"""A message as it is shown: what every user may see, and what only users who may read messages."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import datetime
from typing import Any

from airflow_pgmq.core import iso8601
from airflow_pgmq.core.messages import Row
from airflow_pgmq.core.redaction import HIDDEN, hidden_values, redact, scrub

#: Browsers keep whole numbers up to here.
_EXACT = 2**53


def message(row: Row, now: datetime, *, peek: bool, keys: Collection[str]) -> dict[str, Any]:
    """One message of a queue or an archive; who may see which field is decided elsewhere (`visible`).

    :param row: with `too_large` if the payload was left out, and `archived_at`, null in a queue
    :param peek: whether payload and headers are included
    :param keys: JSON keys whose values are hidden
    """
    # The fields below are taken from the redacted headers.
    all_headers, hidden_headers = redact(_scrubbed(row, keys), keys)
    headers = all_headers if isinstance(all_headers, Mapping) else {}
    shown = {
        "msg_id": number(row["msg_id"]),
        "read_ct": row["read_ct"],
        "enqueued_at": row["enqueued_at"],
        "vt": row["vt"],
        "archived_at": row["archived_at"],
        "state": _state(row, now),
        "expires_at": iso8601.of_header(headers.get("expires_at")),
        "dedup_key": _text(headers.get("dedup_key")),
        "job": _text(headers.get("job")),
        "namespace": _text(headers.get("namespace")),
        "slot": iso8601.of_header(headers.get("slot")),
        "group": _text(headers.get("x-pgmq-group")),
        "dead_letter": _dead_letter(headers.get("dead_letter")),
        "source": _source(headers.get("source")),
    }
    if peek:
        payload, hidden = redact(row["message"], keys)
        shown |= {
            "message": payload,
            "too_large": row["too_large"],
            "headers": all_headers,
            "redacted": hidden or hidden_headers,
        }
    return shown


def _scrubbed(row: Row, keys: Collection[str]) -> Any:
    """The headers; the reason of what is dead without the values that the message has under the keys."""
    headers = row["headers"]
    if not keys or not isinstance(headers, Mapping):
        return headers
    found = dict(headers)
    for name in ("dead_letter", "stopped"):
        said = headers.get(name)
        reason = said.get("reason") if isinstance(said, Mapping) else None
        if not isinstance(said, Mapping) or not isinstance(reason, str):
            continue
        if row["message"] is None and row["too_large"]:
            # The payload was not fetched, so its values are unknown: shown by itself, the message is whole.
            told = HIDDEN
        else:
            told = scrub(reason, {*hidden_values(row["message"], keys), *hidden_values(headers, keys)}, keys)
        found[name] = {**said, "reason": told}
    return found


def number(whole: int) -> int | str:
    """A whole number, as text if browsers would round it."""
    return whole if abs(whole) <= _EXACT else str(whole)


def _state(row: Row, now: datetime) -> str:
    if row["archived_at"] is not None:
        return "archived"
    if row["vt"] <= now:
        return "visible"
    return "in_flight" if row["read_ct"] else "delayed"


# Other clients may write anything into these headers.


def _text(value: object) -> str | None:
    return value if isinstance(value, str) else None


def _whole(value: object) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) and abs(value) <= _EXACT else None


def _tries(letter: Mapping[str, Any]) -> int | None:
    """How often it was tried; dead letters of older code have only their reads."""
    told = letter.get("tries", letter.get("read_ct"))
    return None if (tries := _whole(told)) is None or tries < 0 else tries


def _dead_letter(value: object) -> dict[str, Any] | None:
    if not isinstance(value, Mapping):
        return None
    return {
        "queue": _text(value.get("queue")),
        "msg_id": _whole(value.get("msg_id")),
        "read_ct": _whole(value.get("read_ct")),
        "tries": _tries(value),
        "enqueued_at": iso8601.of_header(value.get("enqueued_at")),
        "reason": _text(value.get("reason")),
    }


def _source(value: object) -> dict[str, Any] | None:
    if not isinstance(value, Mapping) or not isinstance(value.get("dag_id"), str):
        return None
    found: dict[str, Any] = {name: _text(value.get(name)) for name in ("dag_id", "run_id", "task_id")}
    return {**found, "map_index": _whole(value.get("map_index"))}
