"""What page and command line show of messages and periodic jobs, without hiding or locking messages."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal, TypeAlias

from airflow_pgmq.core import names, payload, queue_shape, slots
from airflow_pgmq.core.messages import Row
from airflow_pgmq.core.queue_counts import Table
from airflow_pgmq.core.slot_history import Sent
from airflow_pgmq.db.statements import Statement, column, first, union
from airflow_pgmq.errors import InvalidArgument

#: Where to look for a message.
Source: TypeAlias = Literal["queue", "archive"]
#: Namespace, job and instant.
Slot: TypeAlias = tuple[str, str, datetime]
Place: TypeAlias = tuple[str, Source]

#: Messages that one page of a search looks through.
SCANNED = 20_000
#: Messages of each queue and archive that are searched for those of a task.
SCANNED_EACH = 500
#: Larger payloads are shown only for a single message.
MOST_BYTES = 16 * 1024
_LAST = 2**63 - 1


@dataclass(frozen=True, kw_only=True)
class Search:
    """Which messages to look for."""

    queue_name: str
    source: Source = "queue"
    msg_id: int | None = None
    dedup_key: str | None = None
    #: A job's name, or namespace and name with a slash between.
    job: str | None = None
    #: Continue after this id; in an archive, whose newest come first, below it.
    after: int | None = None
    limit: int = 50
    #: Whether payloads are fetched.
    peek: bool = False
    #: Whether large ones are, too.
    whole: bool = False

    def __post_init__(self) -> None:
        if self.source not in ("queue", "archive"):
            raise InvalidArgument(f"source must be 'queue' or 'archive', not {self.source!r}.")
        if self.limit < 1:
            raise InvalidArgument(f"limit must be at least 1, not {self.limit}.")

    @property
    def in_archive(self) -> bool:
        """Whether it looks into the archive."""
        return self.source == "archive"

    @property
    def is_filtered(self) -> bool:
        """Whether it selects by key or job."""
        return self.dedup_key is not None or self.job is not None

    @property
    def start(self) -> int:
        """The search begins after this id, in an archive below it."""
        if self.msg_id is not None:
            return self.msg_id + (1 if self.in_archive else -1)
        if self.after is not None:
            return self.after
        return _LAST if self.in_archive else -1


def messages(search: Search) -> Statement[list[Row]]:
    """The messages of a search."""
    namespace, _, job = (search.job or "").rpartition("/")
    alone = search.msg_id is not None
    params = {
        "after": search.start,
        "scanned": 1 if alone else SCANNED if search.is_filtered else search.limit,
        "limit": search.limit,
        "peek": search.peek,
        "most": _LAST if alone or search.whole else MOST_BYTES,
        "alone": alone,
        "job": job or None,
        "namespace": namespace or None,
        "dedup_key": search.dedup_key,
    }

    def decode(rows: Sequence[Row]) -> list[Row]:
        # If that message is gone, its neighbour was found.
        return [row for row in rows if search.msg_id in (None, row["msg_id"])]

    return Statement(
        "messages_of_archive" if search.in_archive else "messages_of_queue",
        params,
        _place(search),
        decode,
        search.queue_name,
    )


def scanned(search: Search) -> Statement[Row | None]:
    """The id at which a filtered search stopped; None: it searched everything."""
    params = {"after": search.start, "scanned": SCANNED}
    return Statement(
        "scanned_of_archive" if search.in_archive else "scanned_of_queue",
        params,
        _place(search),
        first,
        search.queue_name,
    )


def _place(search: Search) -> dict[str, tuple[str, ...]]:
    if search.in_archive:
        return {"archive": names.table(search.queue_name, "a")}
    return {"table": names.table(search.queue_name)}


def ledger_message(queue_name: str, dedup_key: str) -> Statement[list[int]]:
    """The id of the message that has a key of scope `once`, or of a slot."""
    namespace, name, slot = slots.of_key(dedup_key) or (None, None, None)
    params: dict[str, Any] = {"queue_name": queue_name, "dedup_key": dedup_key}
    params |= {"namespace": namespace, "name": name, "slot": slot}
    return Statement("ledger_message", params, decode=column("msg_id"))


def places(table: Table) -> list[Place]:
    """Where a queue's messages can be looked for: its table and its archive, if they are usable."""
    if queue_shape.is_misnamed(table):
        return []
    found: list[Place] = []
    if table.own.whole:
        found.append((table.queue_name, "queue"))
    if table.archive.whole:
        found.append((table.queue_name, "archive"))
    return found


def sent_by(
    places: Sequence[Place], source: Mapping[str, Any], *, peek: bool, limit: int
) -> Statement[list[Row]]:
    """The newest messages that a Dag, run or task has sent and that still exist."""
    params = {"source": payload.dumps({"source": dict(source)}), "scanned": SCANNED_EACH, "limit": limit}
    params |= {"peek": peek, "most": MOST_BYTES, "alone": False}
    parts = [
        Statement(
            "sent_by_archived" if archived else "sent_by",
            {"queue_name": name, **params},
            {"table": names.table(name, "a" if archived else "q")},
            list,
            name,
        )
        for name, place in places
        for archived in [place == "archive"]
    ]
    return union(parts, list)


def dead_letter_origins(
    queue_name: str, msg_ids: Sequence[int] | None, limit: int
) -> Statement[dict[str | None, int]]:
    """The queues that dead letters came from, with how many; None: unknown."""
    own = names.origin(queue_name)
    params = {"msg_ids": None if msg_ids is None else list(msg_ids), "limit": limit, "otherwise": own}

    def decode(rows: Sequence[Row]) -> dict[str | None, int]:
        found = {row["queue_name"]: row["letters"] for row in rows}
        # Letters that do not say where they came from go to the queue of that name, so it comes first.
        return {name: found[name] for name in sorted(found, key=lambda each: (each != own, each or ""))}

    return Statement("dead_letter_origins", params, {"table": names.table(queue_name)}, decode, queue_name)


def jobs(namespace: str | None = None, name: str | None = None) -> Statement[list[Row]]:
    """Periodic jobs with their state."""
    return Statement("shown_jobs", {"namespace": namespace, "name": name}, decode=list)


def namespaces(namespace: str | None = None) -> Statement[list[Row]]:
    """Sets of jobs."""
    return Statement("shown_namespaces", {"namespace": namespace}, decode=list)


def sent_slots(asked: Sequence[Slot]) -> Statement[dict[tuple[str, str], dict[datetime, Sent]]]:
    """What is known of slots that were sent, by job."""
    namespaces, job_names, instants = zip(*asked, strict=True) if asked else ((), (), ())
    params = {"namespaces": list(namespaces), "names": list(job_names), "slots": list(instants)}

    def decode(rows: Sequence[Row]) -> dict[tuple[str, str], dict[datetime, Sent]]:
        found: dict[tuple[str, str], dict[datetime, Sent]] = defaultdict(dict)
        for row in rows:
            found[row["namespace"], row["name"]][row["slot"]] = Sent(
                row["first_at"], row["visible_at"], row["expires_at"], row["repeats"], row["skipped"]
            )
        return found

    return Statement("sent_slots", params, decode=decode)
