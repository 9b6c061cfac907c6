"""How a queue is consumed: the parameters that travel together, back-off, and the counts of a drain."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from airflow_pgmq.core import names
from airflow_pgmq.core.groups import GroupCursor, OnDead, has_group
from airflow_pgmq.errors import InvalidArgument

if TYPE_CHECKING:
    from airflow_pgmq.core.messages import Message

Ack: TypeAlias = Literal["archive", "delete"]
#: Where requeued messages come from.
Source: TypeAlias = Literal["dead_letters", "archive"]
FailOn: TypeAlias = Literal["any", "dead", "all", "never"]

FAIL_ON = ("any", "dead", "all", "never")

#: Where the batch size adapts: seconds of work that are read at once, the most messages, and the growth.
WORK_AT_ONCE = 0.1
MOST = 100
GROWTH = 4


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Policy:
    """What a consumer does with a queue."""

    queue_name: str
    #: How many messages are read at once; one that was tried before is always read alone.
    batch_size: int = 1
    #: Read more at once, up to `MOST`, as long as their work is short: for work on one message at a time.
    adapts_batch_size: bool = False
    #: For work on one message at a time: at most this many are acked together, a few milliseconds late. 1:
    #: each one at once.
    ack_group: int = 100
    #: Read the next batch while one is worked on.
    read_ahead: bool = False
    #: How many reads before the consumer stops; None: until nothing is visible.
    max_batches: int | None = None
    #: Seconds; the heartbeat renews it while the work runs.
    visibility_timeout: int = 60
    #: How often a message may be tried before it is a dead letter: reads that gave it back untried do not
    #: count. None: no limit.
    max_reads: int | None = 5
    #: None: `<queue>_dlq`.
    dead_letter_queue: str | None = None
    condition: Mapping[str, Any] | None = None
    headers_condition: Mapping[str, Any] | None = None
    ack: Ack = "archive"
    #: The columns that archiving copies, once they were looked up; empty: PGMQ's function archives.
    archive_columns: tuple[str, ...] = ()
    transactional: bool = False
    #: In order: of each group, one message at a time; and where to go on. None: in any order.
    groups: GroupCursor | None = None
    #: What a dead message of a group does to the rest of it.
    on_dead: OnDead = "go_on"
    #: Seconds after the first failure; doubled with every try, up to the maximum.
    backoff: float = 10.0
    max_backoff: float = 3600.0
    #: This many failures in a row end the drain, since the messages are not the cause. None: never.
    stop_after_failures: int | None = 10

    def __post_init__(self) -> None:
        for name, at_least in (
            ("batch_size", 1),
            ("ack_group", 1),
            ("visibility_timeout", 1),
            ("backoff", 0),
        ):
            if getattr(self, name) < at_least:
                raise InvalidArgument(f"{name} must be at least {at_least}.")
        if self.max_backoff < self.backoff:
            raise InvalidArgument("max_backoff must not be less than backoff.")
        for name in ("max_batches", "max_reads", "stop_after_failures"):
            if (limit := getattr(self, name)) is not None and limit < 1:
                raise InvalidArgument(f"{name} must be at least 1, or None.")
        if self.ack not in ("archive", "delete"):
            raise InvalidArgument(f"ack must be 'archive' or 'delete', not {self.ack!r}.")
        if self.on_dead not in ("go_on", "stop_group"):
            raise InvalidArgument(f"on_dead must be 'go_on' or 'stop_group', not {self.on_dead!r}.")
        if self.on_dead == "stop_group" and self.groups is None:
            raise InvalidArgument(
                "on_dead='stop_group' needs ordered=True, or the group is read all the same."
            )
        if (self.batch_size > 1 or self.adapts_batch_size) and self.max_reads == 1:
            # A worker that dies fails its whole batch; only a second read, one by one, shows the cause.
            raise InvalidArgument("max_reads must be at least 2 where several messages are read at once.")

    @property
    def dead_letters(self) -> str:
        """The name of the dead letter queue."""
        return self.dead_letter_queue or names.dead_letter_queue(self.queue_name)

    def next_batch_size(self, size: int, seconds: float) -> int:
        """How many messages to read after a batch of this size took so long."""
        if not self.adapts_batch_size:
            return self.batch_size
        wanted = MOST if seconds <= 0 else int(WORK_AT_ONCE / seconds * size)
        return max(1, min(wanted, GROWTH * size, MOST))

    def is_last_read(self, message: Message) -> bool:
        """Whether a failure now makes it a dead letter."""
        return self.max_reads is not None and message.tries >= self.max_reads

    def stops_group(self, message: Message) -> bool:
        """Whether its group stops if it is dead."""
        return self.on_dead == "stop_group" and has_group(message)

    def is_over_max_reads(self, message: Message) -> bool:
        """Whether it was tried more often than allowed, so that the work is not started."""
        return self.max_reads is not None and message.tries > self.max_reads

    def delay(self, message: Message) -> float:
        """Seconds until a failed message is visible again."""
        return backoff(message, message.tries, self.backoff, self.max_backoff)

    def delay_of_refused(self, message: Message) -> float:
        """The same for a message that was done but cannot be settled; each read counts, not each try."""
        return backoff(message, message.read_ct, self.backoff, self.max_backoff)


def check_source(source: str, dead_letter_queue: str | None) -> None:
    """Raise InvalidArgument for a wrong source, and for a dead letter queue that the source does not use."""
    if source not in ("dead_letters", "archive"):
        raise InvalidArgument(f"source must be 'dead_letters' or 'archive', not {source!r}.")
    if source == "archive" and dead_letter_queue is not None:
        raise InvalidArgument("dead_letter_queue belongs to source='dead_letters', not to source='archive'.")


def backoff(message: Message, tries: int, first: float, maximum: float) -> float:
    """Exponential in tries, and shortened by up to half, so that messages that fail together come back apart.

    The spread is a hash of id and read: the same in every process, and testable.
    """
    # 2 ** 60 is beyond any maximum, and larger powers would not fit a float at some point.
    seconds = min(maximum, first * 2.0 ** min(tries - 1, 60))
    digest = hashlib.blake2b(f"{message.msg_id}/{message.read_ct}".encode(), digest_size=4).digest()
    return seconds * (1 - int.from_bytes(digest, "big") / 2**33)


@dataclasses.dataclass(slots=True)
class Summary:
    """What a drain did: each message that was read is acked, retried, dead, expired, lost or released."""

    read: int = 0
    acked: int = 0
    retried: int = 0
    dead: int = 0
    expired: int = 0
    #: Another reader took them while we worked: their acks were refused.
    lost: int = 0
    #: Given back at once and unprocessed, because the drain ended early.
    released: int = 0
    #: Those of retried and dead where the function raised, readers died, or Python could not load the
    #: message. Those that the function asked for by an outcome are not failures.
    failed: int = 0
    batches: int = 0
    seconds: float = 0.0

    def as_dict(self) -> dict[str, Any]:
        """The counts in JSON types, for XCom."""
        return {**dataclasses.asdict(self), "seconds": round(self.seconds, 3)}

    def is_failure(self, fail_on: FailOn) -> bool:
        """Whether the draining task should fail."""
        return {
            "any": self.failed > 0,
            "dead": self.dead > 0,
            "all": self.failed > 0 and self.acked == 0,
            "never": False,
        }[fail_on]
