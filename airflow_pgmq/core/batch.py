"""One call's messages as columns, checked and serialized, ready to be sent in chunks."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, TypeVar

from airflow_pgmq.core import names, payload
from airflow_pgmq.core.delays import Delay, Ttl, check_ttl, columns, parse
from airflow_pgmq.errors import InvalidArgument

T = TypeVar("T")

#: Messages of one statement. Each statement is a commit, and 10,000 messages in ten of them take a quarter
#: longer than in two; larger ones are not faster, and 1,000,000 rows in one take 790 MB of the server
#: (measured).
CHUNK = 5000
#: Characters of one statement's messages; Postgres takes no value of 1 GB.
CHUNK_TEXT = 64 * 1024 * 1024


@dataclass(slots=True)
class Batch:
    """Messages in columns, since the database gets arrays; None: the column is empty."""

    messages: list[str]
    #: Headers of every message, merged under its own.
    common_headers: str = "{}"
    headers: list[str] | None = None
    keys: list[str] | None = None
    seconds: list[float] | None = None
    instants: list[datetime | None] | None = None
    #: Seconds from when each becomes visible until it expires.
    ttl: float | None = None

    def __len__(self) -> int:
        return len(self.messages)

    @property
    def is_one(self) -> bool:
        """Whether it is one message, with the common headers only."""
        return len(self.messages) == 1 and self.headers is None

    @property
    def chunk_size(self) -> int:
        """How many of these messages one statement takes."""
        return max(1, min(CHUNK, CHUNK_TEXT // max(map(len, self.messages), default=1)))

    def take(self, positions: Sequence[int]) -> Batch:
        """The messages at these positions, in their order."""

        def pick(column: list[Any] | None) -> list[Any] | None:
            return None if column is None else [column[i] for i in positions]

        return replace(
            self,
            messages=[self.messages[i] for i in positions],
            headers=pick(self.headers),
            keys=pick(self.keys),
            seconds=pick(self.seconds),
            instants=pick(self.instants),
        )


def prepare(
    messages: Sequence[Any],
    *,
    headers: Mapping[str, Any] | Sequence[Mapping[str, Any] | None] | None = None,
    delays: Delay | Sequence[Delay] = None,
    dedup_keys: Sequence[str] | None = None,
    group: str | None = None,
    ttl: Ttl = None,
    max_bytes: int | None = payload.DEFAULT_MAX_BYTES,
) -> Batch:
    """Check and serialize everything before anything is sent."""
    count = len(messages)
    common: dict[str, Any] = {"x-pgmq-group": group} if group is not None else {}
    own: list[str] | None = None
    if isinstance(headers, Mapping):
        common = {**headers, **common}
        _refuse_key_header(common)
    elif headers is not None:
        _same_length("headers", headers, count)
        for each in headers:
            _refuse_key_header(each or {})
        own = [payload.dumps_headers(each) for each in headers]
    lifetime = None if ttl is None else check_ttl(ttl, headers)
    seconds, instants = (None, None) if delays is None else _delays(delays, count)
    if dedup_keys is not None:
        _same_length("dedup_keys", dedup_keys, count)
        dedup_keys = names.keys(dedup_keys)
    return Batch(
        payload.dumps_all(messages, max_bytes=max_bytes),
        payload.dumps_headers(common) if common else "{}",
        own,
        dedup_keys,
        seconds,
        instants,
        lifetime,
    )


def chunks(items: Sequence[T], size: int) -> Iterator[Sequence[T]]:
    """Slices of at most `size`."""
    return (items[at : at + size] for at in range(0, len(items), size))


def _delays(
    delays: Delay | Sequence[Delay], count: int
) -> tuple[list[float] | None, list[datetime | None] | None]:
    if isinstance(delays, Sequence) and not isinstance(delays, str):
        _same_length("delays", delays, count)
        found = columns(map(parse, delays))
    else:
        found = columns([parse(delays)] * count)
    seconds, instants = found["seconds"], found["instants"]
    return (seconds if any(seconds) else None), (instants if any(instants) else None)


def _refuse_key_header(headers: Mapping[str, Any]) -> None:
    if isinstance(headers, Mapping) and "dedup_key" in headers:
        raise InvalidArgument("Pass dedup_key= instead of the header 'dedup_key', so that it is enforced.")


def _same_length(what: str, values: Sequence[Any], count: int) -> None:
    if len(values) != count:
        raise InvalidArgument(f"{what} has {len(values)} items for {count} messages.")
