"""What everybody who is signed in to Airflow sees, field by field: a new one is hidden until it is listed.

Names of queues, jobs and Dags, numbers and times that PGMQ or we have written. Nothing that a sender, a
consumer or the owner of the connection wrote: for that one must be allowed to read the Airflow connection.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, TypeAlias

#: Fields of an object; None: a plain value, or a list of such.
Shape: TypeAlias = Mapping[str, "Shape | None"]


def _plain(names: str) -> dict[str, Shape | None]:
    return dict.fromkeys(names.split())


_PROBLEMS = _plain("code severity text mend")
_QUEUE: Shape = {
    **_plain(
        "queue_name is_unlogged is_partitioned created_at length visible in_flight delayed estimated "
        "archived archived_estimated dead_letters dead_letters_estimated dead_letter_queue "
        "is_dead_letter_queue oldest_age arrivals completions jobs"
    ),
    "problems": _PROBLEMS,
}
JOB: Shape = {
    **_plain(
        "namespace name cron words timezone queue_name version paused next_slots last_slot last_sent_at "
        "lateness owner dag_id task_id"
    ),
    "slots": _plain("slot state"),
    "problems": _PROBLEMS,
}
_NAMESPACE: Shape = {
    **_plain("namespace owner dag_id task_id version last_tick_at"),
    "problems": _PROBLEMS,
}
#: What PGMQ itself keeps of a message.
_MESSAGE = _plain("queue_name msg_id read_ct enqueued_at vt archived_at state")

CONNECTION: Shape = _plain("connection_id may_peek may_write")
QUEUES: Shape = {**_plain("at maintained"), "queues": _QUEUE, "problems": _PROBLEMS}
QUEUE: Shape = {
    **_QUEUE,
    "at": None,
    "history": _plain("at length visible oldest_age arrivals completions"),
}
JOBS: Shape = {"at": None, "namespaces": _NAMESPACE, "jobs": JOB}
MESSAGES: Shape = {"messages": _MESSAGE, "next_after": None}


def public(answer: Any, shape: Shape | None) -> Any:
    """A copy with what the shape lists; lists are looked through, all else is left out."""
    if isinstance(answer, Mapping):
        return (
            {name: public(answer[name], shape[name]) for name in shape if name in answer} if shape else None
        )
    if isinstance(answer, (list, tuple)):
        return (
            list(answer) if shape is None and _are_plain(answer) else [public(each, shape) for each in answer]
        )
    return answer if shape is None else None


def _are_plain(values: Iterable[Any]) -> bool:
    # A chart's hundreds of numbers are copied at once.
    return not any(isinstance(each, (Mapping, list, tuple)) for each in values)
