"""What every signed-in user of Airflow sees, field by field: a new field is hidden until it is listed.

These are names of queues, jobs and Dags, numbers and times that PGMQ or we have written. What a sender, a
consumer or the owner of the connection wrote is only for users who may read the Airflow connection.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeAlias

#: None: a plain value, or a list of them; a function: its result for an object.
Field: TypeAlias = "Shape | Callable[[Mapping[str, Any]], dict[str, Any]] | None"
#: The fields of an object.
Shape: TypeAlias = Mapping[str, Field]

#: Problems whose texts have only names, numbers and times. Others quote the database, and name its role.
_PUBLIC_PROBLEMS = frozenset(
    [
        "no_access",
        "missing_guard",
        "nobody_reads",
        "dead_letters",
        "job_behind",
        "overdue",
        "paused_for_dead_letter",
        "not_ticking",
        "not_installed",
        "not_maintained",
    ]
)
_HIDDEN_TEXT = "Something is wrong here; users who may see the connection in Airflow are told what."


def _problem(problem: Mapping[str, Any]) -> dict[str, Any]:
    if problem["code"] in _PUBLIC_PROBLEMS:
        return {name: problem[name] for name in ("code", "severity", "text", "fix")}
    return {"code": problem["code"], "severity": problem["severity"], "text": _HIDDEN_TEXT, "fix": ""}


def _number_left_out(reasons: Mapping[str, int]) -> dict[str, Any]:
    """Without the reasons, which people have written into calendars."""
    return {"left out": sum(reasons.values())} if reasons else {}


def _plain(names: str) -> dict[str, Field]:
    return dict.fromkeys(names.split())


_QUEUE: Shape = {
    **_plain(
        "queue_name is_unlogged is_partitioned created_at length visible in_flight delayed estimated "
        "archived archived_estimated dead_letters dead_letters_estimated dead_letter_queue "
        "is_dead_letter_queue oldest_age arrivals completions jobs"
    ),
    # Whoever pauses a queue says it to everybody.
    "paused": _plain("paused_at paused_by reason"),
    "problems": _problem,
}
JOB: Shape = {
    **_plain(
        "namespace name schedule words timezone queue_name version paused paused_for live next_slots "
        "last_slot last_sent_at lateness overdue owner dag_id task_id"
    ),
    "slots": _plain("slot state"),
    "problems": _problem,
}
_NAMESPACE: Shape = {
    **_plain("namespace owner dag_id task_id version last_tick_at"),
    "problems": _problem,
}
#: What PGMQ itself stores of a message.
_MESSAGE = _plain("queue_name msg_id read_ct enqueued_at vt archived_at state")

CONNECTION: Shape = _plain("connection_id may_peek may_write")
QUEUES: Shape = {**_plain("at maintained"), "queues": _QUEUE, "problems": _problem}
QUEUE: Shape = {
    **_QUEUE,
    **_plain("at ordered"),
    "history": _plain("at length visible oldest_age arrivals completions"),
}
#: Without their names, which senders have written, and the reasons, which consumers have.
GROUPS: Shape = {
    **_plain("queue_name ordered more"),
    "groups": _plain("state until msg_id tries messages stopped_at"),
}
JOBS: Shape = {"at": None, "namespaces": _NAMESPACE, "jobs": JOB}
#: Of the definition what is a word, a number or a time: not what the messages are made of.
JOB_DETAILS: Shape = {
    "at": None,
    "job": JOB,
    "definition": _plain(
        "name schedule cron seconds day_match timezone business_day start end jitter queue_name ttl "
        "expect_within catch_up catch_up_max_age catch_up_limit overlap version"
    ),
    "versions": _plain("version changed_at deleted"),
    "calendar": {
        "zone": None,
        "days": {
            **_plain("day slots first"),
            "left_out": _number_left_out,
        },
    },
    "history": {
        **_plain("since most"),
        "slots": _plain(
            "slot state queue_name msg_id sent_at late visible_at place read_ct acked_at took worked"
        ),
    },
    "dead_letters": _plain("queue_name count"),
    "overdue": _plain("slot queue_name msg_id expected_at state found_at text"),
    "missing": _plain("part"),
}
#: Without the reasons, which people have written.
CALENDARS: Shape = {
    "at": None,
    "calendars": {
        **_plain("name is_missing changed_at days first_day last_day jobs"),
        "next_days": _plain("day"),
        "first_jobs": _plain("namespace name"),
    },
}
CALENDAR: Shape = {**_plain("name version changed_at"), "days": _plain("day")}
MESSAGES: Shape = {"messages": _MESSAGE, "next_after": None, "left_out": _plain("queue_name")}


def public(answer: Any, shape: Field) -> Any:
    """A copy with only what the shape lists; lists are copied element by element."""
    if isinstance(answer, (list, tuple)):
        if shape is None and _are_plain(answer):
            return list(answer)
        return [public(each, shape) for each in answer]
    if isinstance(answer, Mapping):
        return _fields(answer, shape)
    return answer if shape is None else None


def _fields(answer: Mapping[str, Any], shape: Field) -> dict[str, Any] | None:
    if callable(shape):
        return shape(answer)
    return (
        None
        if shape is None
        else {name: public(answer[name], shape[name]) for name in shape if name in answer}
    )


def _are_plain(values: Iterable[Any]) -> bool:
    # The hundreds of numbers of a chart are copied at once.
    return not any(isinstance(each, (Mapping, list, tuple)) for each in values)
