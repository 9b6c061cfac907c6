"""How long a message stays invisible: what users give → seconds or an instant, parsed once."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, TypeAlias

from airflow_pgmq.core import iso8601
from airflow_pgmq.errors import InvalidArgument

#: What users give.
Delay: TypeAlias = float | int | timedelta | datetime | str | None
Ttl: TypeAlias = float | int | timedelta | str | None

LONGEST = timedelta(days=3660)


@dataclass(frozen=True, slots=True)
class ParsedDelay:
    """Until when a message stays invisible: the instant, or seconds from now by the database's clock."""

    seconds: float = 0.0
    instant: datetime | None = None

    @property
    def params(self) -> dict[str, Any]:
        """As the parameters of a statement about messages that have one delay together."""
        return {"seconds": self.seconds, "instant": self.instant}


AT_ONCE = ParsedDelay()


def parse(delay: Delay | ParsedDelay) -> ParsedDelay:
    """Parse a delay; text, as a template gives it, is seconds or an instant.

    :raises InvalidArgument: it is neither, has no time zone, or is not within ten years from now
    """
    if isinstance(delay, ParsedDelay):
        return delay
    if delay is None or delay == "":
        return AT_ONCE
    if isinstance(delay, str):
        delay = _of_text(delay)
    if isinstance(delay, datetime):
        if delay.tzinfo is None:
            raise InvalidArgument(
                f"The delay {delay.isoformat()} has no time zone; add one, for example +00:00."
            )
        return ParsedDelay(instant=delay)
    if isinstance(delay, bool) or not isinstance(delay, (int, float, timedelta)):
        raise InvalidArgument(f"A delay is seconds, a timedelta or an instant, not {type(delay).__name__}.")
    seconds = delay.total_seconds() if isinstance(delay, timedelta) else delay
    if not 0 <= seconds <= LONGEST.total_seconds():
        raise InvalidArgument(f"The delay of {seconds} s is not between 0 s and ten years.")
    return ParsedDelay(float(seconds))


def parse_ttl(ttl: Ttl) -> float | None:
    """Seconds for which a message is of use; text, as a template gives it, is allowed. None: for ever.

    :raises InvalidArgument: it is not a number of seconds, or not within ten years from now
    """
    if ttl is None or ttl == "":
        return None
    try:
        if isinstance(ttl, bool) or not isinstance(ttl, (int, float, timedelta, str)):
            raise ValueError
        seconds = ttl.total_seconds() if isinstance(ttl, timedelta) else float(ttl)
    except ValueError:
        raise InvalidArgument(f"A ttl is seconds or a timedelta, not {ttl!r}.") from None
    if not 0 < seconds <= LONGEST.total_seconds():
        raise InvalidArgument(f"The ttl of {seconds:g} s is not more than 0 s and at most ten years.")
    return seconds


def check_ttl(ttl: Ttl, headers: Any) -> float | None:
    """The same for messages with these headers, one for all or one each, without an `expires_at` in them."""
    seconds = parse_ttl(ttl)
    each = headers if isinstance(headers, (list, tuple)) else [headers]
    if seconds is not None and any(isinstance(one, Mapping) and "expires_at" in one for one in each):
        raise InvalidArgument("Pass either ttl= or the header 'expires_at', not both.")
    return seconds


def columns(delays: Iterable[ParsedDelay]) -> dict[str, Any]:
    """As the parameters of a statement about messages with one delay each."""
    each = list(delays)
    return {"seconds": [one.seconds for one in each], "instants": [one.instant for one in each]}


def whole_seconds(value: float | timedelta) -> int:
    """A visibility timeout in the only unit that PGMQ takes."""
    seconds = value.total_seconds() if isinstance(value, timedelta) else value
    if not isinstance(seconds, (int, float)) or not 0 <= seconds < 2**31 or int(seconds) != seconds:
        raise InvalidArgument(
            f"A visibility timeout is whole seconds, fewer than 2**31, not {value!r}; PGMQ takes no other."
        )
    return int(seconds)


def _of_text(text: str) -> float | datetime:
    try:
        return float(text)
    except ValueError:
        pass
    try:
        return iso8601.parse(text)
    except ValueError:
        raise InvalidArgument(f"The delay {text!r} is neither seconds nor an ISO 8601 instant.") from None
