"""One call's messages as columns, checked and serialized, ready to be sent in chunks."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, TypeVar

from airflow_pgmq.core import iso8601, names, payload
from airflow_pgmq.errors import InvalidMessage

T = TypeVar("T")
Delay = float | int | timedelta | datetime | str | None
Ttl = float | int | timedelta | str | None

#: Messages of one statement. Each is a commit, and 10,000 messages in ten take a quarter longer than in two;
#: larger ones are no faster, and 1,000,000 rows in one take 790 MB of the server (measured).
CHUNK = 5000
#: Characters of one statement's messages; Postgres takes no value of 1 GB.
CHUNK_TEXT = 64 * 1024 * 1024
#: Seconds of the longest delay and ttl: ten years.
LONGEST = 10 * 366 * 86400


@dataclass(frozen=True, slots=True)
class Batch:
    """Messages in columns, because arrays are what the database gets; None means: nothing in it."""

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
    def chunk_size(self) -> int:
        """How many of these messages one statement takes."""
        return max(1, min(CHUNK, CHUNK_TEXT // max(map(len, self.messages), default=1)))

    def take(self, positions: Sequence[int]) -> Batch:
        """The messages at these positions, in their order."""

        def pick(column: list[Any] | None) -> list[Any] | None:
            return None if column is None else [column[i] for i in positions]

        return Batch(
            [self.messages[i] for i in positions],
            self.common_headers,
            pick(self.headers),
            pick(self.keys),
            pick(self.seconds),
            pick(self.instants),
            self.ttl,
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
    if headers is None or isinstance(headers, Mapping):
        common = {**(headers or {}), **common}
        _refuse_key_header(common)
    else:
        _same_length("headers", headers, count)
        for each in headers:
            _refuse_key_header(each or {})
        own = [payload.dumps_headers(each) for each in headers]
    lifetime = check_ttl(ttl, headers)
    seconds, instants = _delays(delays, count)
    if dedup_keys is not None:
        _same_length("dedup_keys", dedup_keys, count)
        dedup_keys = names.keys(dedup_keys)
    return Batch(
        payload.dumps_all(messages, max_bytes=max_bytes),
        payload.dumps_headers(common),
        own,
        dedup_keys,
        seconds,
        instants,
        lifetime,
    )


def keys_of(dedup_key: str | Sequence[str] | None, count: int) -> Sequence[str] | None:
    """One key, or one for each message, as the keys of so many messages."""
    if not isinstance(dedup_key, str):
        return dedup_key
    if count != 1:
        raise InvalidMessage(
            f"One dedup_key for {count} messages would send only the first; give a list, one for each."
        )
    return [dedup_key]


def chunks(items: Sequence[T], size: int) -> Iterator[Sequence[T]]:
    """Slices of at most `size`."""
    return (items[at : at + size] for at in range(0, len(items), size))


def first_of_each(keys: Sequence[str]) -> dict[str, int]:
    """Position of each key's first message; the others are duplicates inside the call."""
    first: dict[str, int] = {}
    for position, key in enumerate(keys):
        first.setdefault(key, position)
    return first


def last_of_each(keys: Sequence[str]) -> dict[str, int]:
    """Position of each key's last message, in the order of the first: the one that replaces the others."""
    last = first_of_each(keys)
    for position, key in enumerate(keys):
        last[key] = position
    return last


def _delays(
    delays: Delay | Sequence[Delay], count: int
) -> tuple[list[float] | None, list[datetime | None] | None]:
    if delays is None:
        return None, None
    if isinstance(delays, Sequence) and not isinstance(delays, str):
        _same_length("delays", delays, count)
        parsed = [parse_delay(each) for each in delays]
    else:
        parsed = [parse_delay(delays)] * count
    seconds = [0.0 if isinstance(each, datetime) else each for each in parsed]
    instants = [each if isinstance(each, datetime) else None for each in parsed]
    return (seconds if any(seconds) else None), (instants if any(instants) else None)


def parse_delay(delay: Delay) -> float | datetime:
    """Seconds from now by the database's clock, or an instant. Text, as a template gives it, is either."""
    if delay is None or delay == "":
        return 0.0
    if isinstance(delay, str):
        delay = _parse_text(delay)
    if isinstance(delay, datetime):
        if delay.tzinfo is None:
            raise InvalidMessage(
                f"The delay {delay.isoformat()} has no time zone; add one, for example +00:00."
            )
        return delay
    if isinstance(delay, bool) or not isinstance(delay, (int, float, timedelta)):
        raise InvalidMessage(f"A delay is seconds, a timedelta or an instant, not {type(delay).__name__}.")
    seconds = delay.total_seconds() if isinstance(delay, timedelta) else float(delay)
    if not 0 <= seconds <= LONGEST:
        raise InvalidMessage(f"The delay of {seconds} s is not between 0 s and ten years.")
    return seconds


def parse_ttl(ttl: Ttl) -> float | None:
    """Seconds for which a message is of use, as text too, as a template gives it; None: for ever."""
    if ttl is None or ttl == "":
        return None
    try:
        if isinstance(ttl, bool) or not isinstance(ttl, (int, float, timedelta, str)):
            raise ValueError
        seconds = ttl.total_seconds() if isinstance(ttl, timedelta) else float(ttl)
    except ValueError:
        raise InvalidMessage(f"A ttl is seconds or a timedelta, not {ttl!r}.") from None
    if not 0 < seconds <= LONGEST:
        raise InvalidMessage(f"The ttl of {seconds:g} s is not more than 0 s and at most ten years.")
    return seconds


def check_ttl(ttl: Ttl, headers: Any) -> float | None:
    """The same, of messages with these headers, one for all or one for each: they must not say it, too."""
    seconds = parse_ttl(ttl)
    each = headers if isinstance(headers, (list, tuple)) else [headers]
    if seconds is not None and any(isinstance(one, Mapping) and "expires_at" in one for one in each):
        raise InvalidMessage("Pass either ttl= or the header 'expires_at', not both.")
    return seconds


def whole_seconds(value: float | timedelta) -> int:
    """A visibility timeout in the only unit that PGMQ takes."""
    seconds = value.total_seconds() if isinstance(value, timedelta) else value
    if seconds < 0 or int(seconds) != seconds:
        raise InvalidMessage(f"A visibility timeout is whole seconds, not {value!r}; PGMQ takes no other.")
    return int(seconds)


def _parse_text(text: str) -> float | datetime:
    try:
        return float(text)
    except ValueError:
        pass
    try:
        return iso8601.parse(text)
    except ValueError:
        raise InvalidMessage(f"The delay {text!r} is neither seconds nor an ISO 8601 instant.") from None


def _refuse_key_header(headers: Mapping[str, Any]) -> None:
    if isinstance(headers, Mapping) and "dedup_key" in headers:
        raise InvalidMessage("Pass dedup_key= instead of the header 'dedup_key', so that it is enforced.")


def _same_length(what: str, values: Sequence[Any], count: int) -> None:
    if len(values) != count:
        raise InvalidMessage(f"{what} has {len(values)} items for {count} messages.")
