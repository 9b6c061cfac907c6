"""Errors where another task, consumer or client was first."""

from __future__ import annotations

from collections.abc import Sequence

from airflow_pgmq.errors.base import PgmqError


class Conflict(PgmqError):
    """Somebody else was first: with a dedup key, a message, an id or a namespace.

    Accept it, or use another key or name: only the first one gets it.
    """


class DuplicateMessage(Conflict):
    """A dedup key is taken and `on_duplicate="fail"` was asked for, or a unique index refused a message.

    Use `on_duplicate="skip"` to send the rest, and one `dedup_scope` per queue; nothing of the call was sent,
    unless the text says otherwise.
    """

    def __init__(self, queue_name: str, keys: Sequence[str], text: str | None = None) -> None:
        self.queue_name = queue_name
        self.keys = tuple(keys)
        shown = ", ".join(keys[:5]) + (", …" if len(keys) > 5 else "")
        super().__init__(
            text
            or f"{len(keys)} dedup key(s) were already sent to queue {queue_name!r}: {shown}. "
            "Nothing of this call was sent; use on_duplicate='skip' to send the rest."
        )


class MessageLost(Conflict):
    """The messages are no longer ours: read again after their timeout, removed, or their queue was lost.

    Give the work a longer `visibility_timeout`, or extend it meanwhile; undo what must not happen twice.
    """

    def __init__(self, queue_name: str, msg_ids: Sequence[int]) -> None:
        self.queue_name = queue_name
        self.msg_ids = tuple(msg_ids)
        super().__init__(
            f"Messages {list(msg_ids)} of queue {queue_name!r} are no longer ours: they were read again or "
            "removed, or the queue was made again."
        )


class ArchiveRefused(Conflict):
    """A unique index that others put on the archive refused messages, so an ack failed.

    Drop the index, or ack with `delete`. If it is PGMQ's index of the ids, this is corrected automatically.
    """

    queue_name: str

    def __init__(self, queue_name: str, msg_ids: Sequence[int] | None, index: str, text: str) -> None:
        self.queue_name = queue_name
        #: The messages of the statement; None: it had no ids.
        self.msg_ids = msg_ids
        super().__init__(
            f"The unique index {index!r} on the archive of queue {queue_name!r} refused a message ({text}), "
            "so nothing was archived. Drop the index, or ack with delete."
        )


class NamespaceTaken(Conflict):
    """Another task ticks the periodic jobs of this namespace: each would take back the other's messages.

    Give one of the two another `namespace=`; after a rename, wait until the old task has been silent.
    """


class JobDeclared(Conflict):
    """A Dag declares the job, so it cannot be changed, replaced or deleted at run time.

    Change it in the Dag, or give the live job another name.
    """

    def __init__(self, namespace: str, names: Sequence[str], owner: str) -> None:
        shown = ", ".join(f"{namespace}/{name}" for name in names[:5]) + (", …" if len(names) > 5 else "")
        super().__init__(
            f"{shown}: declared in the Dag of task {owner!r}. Change it there, or use another name here."
        )


class JobChanged(Conflict):
    """Somebody else has changed the live job since it was looked at.

    Look at it again, and put the change with the version that it has now.
    """

    def __init__(self, namespace: str, name: str, version: int, expected: int) -> None:
        #: The version that it has now; 0: it does not exist.
        self.version = version
        now = f"is at version {version}" if version else "does not exist"
        then = f"was version {expected}" if expected else "did not exist"
        super().__init__(
            f"Job {namespace}/{name} {now}; when you looked it {then}. Look again, and put your change with "
            f"expected_version={version}."
        )


class CalendarChanged(Conflict):
    """Somebody else has changed the calendar since it was looked at.

    Look at it again, and put the change with the version that it has now.
    """

    def __init__(self, name: str, version: int) -> None:
        #: The version that it has now; 0: it does not exist.
        self.version = version
        now = "has changed" if version else "does not exist any more"
        super().__init__(
            f"Calendar {name!r} {now} since you looked. Look again, and put your change with "
            f"expected_version={version}."
        )


class LostRace(Conflict):
    """Another transaction took a dedup key at the same moment; nothing was sent.

    Do nothing: the send is tried again automatically.
    """
