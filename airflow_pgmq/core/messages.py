"""What a queue returns: frozen records, columns taken by name because PGMQ has changed their order before."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from operator import itemgetter
from typing import Any, NamedTuple, TypeAlias

from airflow_pgmq.core import iso8601
from airflow_pgmq.core.payload import Unreadable
from airflow_pgmq.errors import InvalidArgument

Row = Mapping[str, Any]

#: What must be unchanged for a message to be still ours: id, `read_ct`, `enqueued_at`; None: any value.
Fence: TypeAlias = "tuple[int, int | None, datetime | None]"

#: The header that counts the reads whose readers gave the message back untried. `read_ct` is never lowered,
#: since an old reader's fence would match again.
UNTRIED = "untried"


@dataclasses.dataclass(frozen=True, slots=True)
class Message:
    """One message as read from a queue; pass it back to ack it."""

    msg_id: int
    #: How often it was read, this time included. Acks are fenced by it and by `enqueued_at`.
    read_ct: int
    enqueued_at: datetime
    #: When it becomes visible again.
    vt: datetime
    #: Any JSON value; `Unreadable` stands for JSON that Python cannot load, with the reason.
    message: Any
    headers: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    #: When it was last read, which queues note since PGMQ 1.10. None: never, or the verb does not ask for it;
    #: so it does not count when messages are compared.
    last_read_at: datetime | None = dataclasses.field(default=None, compare=False)

    @classmethod
    def from_row(cls, row: Row) -> Message:
        """Take the columns that every PGMQ since 1.5 has."""
        message, headers = row["message"], row["headers"]
        return cls(
            row["msg_id"],
            row["read_ct"],
            row["enqueued_at"],
            row["vt"],
            _readable(message, headers),
            _as_object(headers),
            row.get("last_read_at"),
        )

    @staticmethod
    def maker(columns: Sequence[str]) -> Callable[[Sequence[Any]], Message]:
        """What makes messages of rows with these columns, in half of the time that mappings take."""
        pick = itemgetter(
            *map(columns.index, ("msg_id", "read_ct", "enqueued_at", "vt", "message", "headers"))
        )
        last_read_at = columns.index("last_read_at") if "last_read_at" in columns else None
        # What the frozen class's own `__init__` does, in half of its time.
        new = Message.__new__
        setters = (getattr(Message, field.name).__set__ for field in dataclasses.fields(Message))
        set_id, set_read_ct, set_enqueued_at, set_vt, set_message, set_headers, set_last = setters

        def make(values: Sequence[Any]) -> Message:
            msg_id, read_ct, enqueued_at, vt, message, headers = pick(values)
            found = new(Message)
            set_id(found, msg_id)
            set_read_ct(found, read_ct)
            set_enqueued_at(found, enqueued_at)
            set_vt(found, vt)
            set_message(found, _readable(message, headers))
            set_headers(found, _as_object(headers))
            set_last(found, None if last_read_at is None else values[last_read_at])
            return found

        return make

    @property
    def fence(self) -> Fence:
        """Which read of which message this is; a later read belongs to another reader."""
        return self.msg_id, self.read_ct, self.enqueued_at

    @property
    def tries(self) -> int:
        """How often it was tried, this time included: its reads, less those that gave it back untried.

        These are counted in the header `untried`. A count higher than the reads before is ignored.
        """
        # The first read, which most are, has none before it.
        return self.read_ct if self.read_ct == 1 else self.read_ct - _untried(self.read_ct, self.headers)

    @property
    def expires_at(self) -> datetime | None:
        """The instant after which our consumers skip the message; None without a valid header."""
        return iso8601.of_header(self.headers.get("expires_at"))

    def is_expired(self, now: datetime) -> bool:
        """Whether a consumer should skip the message."""
        return is_over(self.headers.get("expires_at"), now)

    def was_expired(self, visibility_timeout: float) -> bool:
        """Whether it was expired when it was read; `vt` says when that was, by the database's clock.

        :param visibility_timeout: seconds for which it was read
        """
        # Most messages have no such header, and this is asked of each one.
        return "expires_at" in self.headers and self.is_expired(
            self.vt - timedelta(seconds=visibility_timeout)
        )

    def as_dict(self) -> dict[str, Any]:
        """The message in JSON types, for XCom; without `last_read_at`, which tasks do not know."""
        return {
            "msg_id": self.msg_id,
            "read_ct": self.read_ct,
            "enqueued_at": self.enqueued_at.isoformat(),
            "vt": self.vt.isoformat(),
            "message": None if isinstance(self.message, Unreadable) else self.message,
            "headers": dict(self.headers),
        }


def _readable(message: Any, headers: Any) -> Any:
    # If the headers cannot be read, the message cannot either.
    return headers if isinstance(headers, Unreadable) else message


def _as_object(headers: Any) -> dict[str, Any]:
    # PGMQ lets other clients store any JSON there.
    return headers if isinstance(headers, dict) else {}


def is_over(expires_at: object, now: datetime) -> bool:
    """Whether the instant of a header `expires_at` has passed; False if it is not an instant."""
    return (at := iso8601.of_header(expires_at)) is not None and at <= now


class Remark(str):
    """A reason: characters that the database's encoding lacks are escaped in it, and are not an error."""

    __slots__ = ()


@dataclasses.dataclass(frozen=True, slots=True)
class Queue:
    """A row of `pgmq.meta`."""

    queue_name: str
    is_partitioned: bool
    is_unlogged: bool
    created_at: datetime

    @classmethod
    def from_row(cls, row: Row) -> Queue:
        """Take the columns by name."""
        return cls(row["queue_name"], row["is_partitioned"], row["is_unlogged"], row["created_at"])


@dataclasses.dataclass(frozen=True, slots=True)
class QueueMetrics:
    """What `pgmq.metrics` counts; it scans the whole table, so call it seldom on huge queues."""

    queue_name: str
    queue_length: int
    #: Messages that a read would return now: not delayed, not in flight.
    queue_visible_length: int
    newest_msg_age_sec: int | None
    oldest_msg_age_sec: int | None
    #: The sequence's value: how many ids were ever used.
    total_messages: int
    scrape_time: datetime
    #: The planner's estimate of how many messages of queue and archive have no partition of their own. More
    #: than 0: the maintenance of pg_partman is behind. None: they are not partitioned.
    default_partition_length: int | None = None

    @classmethod
    def from_row(cls, row: Row) -> QueueMetrics:
        """Take the columns by name."""
        return cls(**{field.name: row[field.name] for field in dataclasses.fields(cls)})


@dataclasses.dataclass(frozen=True, slots=True)
class TopicBinding:
    """A pattern whose messages reach a queue."""

    pattern: str
    queue_name: str
    bound_at: datetime
    #: The regular expression that PGMQ makes of the pattern.
    compiled_regex: str

    @classmethod
    def from_row(cls, row: Row) -> TopicBinding:
        """Take the columns by name."""
        return cls(row["pattern"], row["queue_name"], row["bound_at"], row["compiled_regex"])


@dataclasses.dataclass(frozen=True, slots=True)
class TopicRoute:
    """A binding that a routing key matches."""

    pattern: str
    queue_name: str
    compiled_regex: str

    @classmethod
    def from_row(cls, row: Row) -> TopicRoute:
        """Take the columns by name."""
        return cls(row["pattern"], row["queue_name"], row["compiled_regex"])


@dataclasses.dataclass(frozen=True, slots=True)
class NotifyThrottle:
    """A queue with PGMQ's own notify trigger."""

    queue_name: str
    #: At most one notification in this time; 0: one for each message.
    throttle_interval_ms: int
    #: None: nothing was announced yet.
    last_notified_at: datetime | None

    @classmethod
    def from_row(cls, row: Row) -> NotifyThrottle:
        """Take the columns by name."""
        return cls(row["queue_name"], row["throttle_interval_ms"], row["last_notified_at"])


#: What an operation acts on: messages, messages as XCom holds them, or ids alone.
Reference: TypeAlias = Message | Mapping[str, Any] | int


def references(messages: Reference | Iterable[Reference]) -> list[Reference]:
    """One or many, as a list; a text is one, not its characters."""
    return [messages] if isinstance(messages, (Message, Mapping, int, str)) else list(messages)


class Fences(NamedTuple):
    """Which messages an operation acts on, and what must be unchanged in each; None: any value."""

    msg_ids: list[int]
    read_cts: list[int | None]
    #: Ids start again if a queue was dropped and made again; then only this tells two messages apart.
    enqueued_ats: list[datetime | None]


def fences(messages: Reference | Iterable[Reference]) -> Fences:
    """What an operation may change: only the messages that were read; an id alone is not fenced.

    :raises InvalidArgument: a mapping's `enqueued_at` is not an instant
    """
    each = [
        message.fence if type(message) is Message else _fence(message) for message in references(messages)
    ]
    return Fences([one[0] for one in each], [one[1] for one in each], [one[2] for one in each])


def untried_again(message: Reference) -> int:
    """The header `untried` if this read, too, gives the message back untried; 0: one more than it is now.

    The same each time for one read, since an answer may be lost or a task run again. For an id alone, the
    read is not known.
    """
    if isinstance(message, Message):
        return _untried(message.read_ct, message.headers) + 1
    if isinstance(message, Mapping) and message.get("read_ct") is not None and "headers" in message:
        return _untried(int(message["read_ct"]), message["headers"]) + 1
    return 0


def _untried(read_ct: int, headers: Any) -> int:
    untried = headers.get(UNTRIED) if isinstance(headers, Mapping) else None
    if not isinstance(untried, (int, float)) or isinstance(untried, bool):
        return 0
    return int(untried) if 0 <= untried <= read_ct - 1 else 0


def _fence(message: Reference) -> Fence:
    if isinstance(message, Message):
        return message.fence
    if isinstance(message, Mapping):
        return int(message["msg_id"]), message.get("read_ct"), _instant(message.get("enqueued_at"))
    return int(message), None, None


def _instant(value: Any) -> datetime | None:
    """`enqueued_at` of a mapping; a text if it went through XCom."""
    if (parsed := iso8601.of_header(value)) is not None:
        return parsed
    if value is None or (isinstance(value, datetime) and value.tzinfo):
        return value
    raise InvalidArgument(
        f"The enqueued_at {value!r} of a message is not an ISO 8601 instant with a time zone."
    )
