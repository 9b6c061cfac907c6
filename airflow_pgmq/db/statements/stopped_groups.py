"""Groups that are stopped: their next message was dead, and stays the next one until somebody decides."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from airflow_pgmq.core import iso8601, names
from airflow_pgmq.core.groups import StoppedGroup
from airflow_pgmq.core.messages import Message, Reference, Remark, Row, fences
from airflow_pgmq.db.statements import Statement, column, many, on_queue

#: So many are listed.
LISTED = 1000


def stop(queue_name: str, messages: Sequence[Message], reasons: Sequence[str]) -> Statement[list[int]]:
    """Stop the groups of dead messages; returns the ids that were still ours."""
    held = fences(messages)._asdict()
    return on_queue("stop_groups", queue_name, column("msg_id"), reasons=list(map(Remark, reasons)), **held)


def stopped(queue_name: str, messages: Iterable[Reference]) -> Statement[list[int]]:
    """Those of the messages that stop their groups; their rows are locked."""
    return on_queue("stopped", queue_name, column("msg_id"), **fences(messages)._asdict())


def listed(queue_name: str, group: str | None = None) -> Statement[list[StoppedGroup]]:
    """The groups that are stopped, or this one if it is, by name: at most 1,000."""
    return on_queue("stopped_groups", queue_name, many(_stopped_group), group=group, limit=LISTED)


def resume(queue_name: str, group: str) -> Statement[list[int]]:
    """Let a group go on with the message that stopped it; returns its id."""
    channel = names.channel(queue_name)
    return on_queue("resume_group", queue_name, column("msg_id"), group=group, channel=channel)


def _stopped_group(row: Row) -> StoppedGroup:
    at = iso8601.of_header(row["stopped_at"])
    return StoppedGroup(row["grp"], row["msg_id"], row["tries"], row["reason"], at)
