"""One periodic job: its definition, what comes, and what became of its last slots.

All of it is derived from what is stored anyway, by look-ups for a limited number of slots. What is acked by
deletion leaves nothing behind, so nothing is known of it but that it is gone.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Sequence
from dataclasses import asdict
from datetime import datetime
from typing import Any

from airflow_pgmq.core import (
    job_documents,
    job_form,
    message_view,
    names,
    queue_shape,
    slot_calendar,
    slot_outcomes,
    slots,
)
from airflow_pgmq.core.jobs import PeriodicJob
from airflow_pgmq.core.live_jobs import JobVersion
from airflow_pgmq.core.messages import Row
from airflow_pgmq.core.slot_history import Progress
from airflow_pgmq.core.slot_outcomes import Message
from airflow_pgmq.core.stored_jobs import UNREADABLE, unreadable
from airflow_pgmq.db.client import Client, Connection
from airflow_pgmq.db.statements import inspection, job_slots, live_jobs, overdue, overview
from airflow_pgmq.db.statements.inspection import Place
from airflow_pgmq.errors import InvalidInput, JobNotFound
from airflow_pgmq.services import calendars, faulty_queues
from airflow_pgmq.services.overview import installed
from airflow_pgmq.services.overview import jobs as listed
from airflow_pgmq.services.overview.parts import Parts

#: Queues to which the slots were sent that are looked into: a job seldom has another one than now.
MOST_QUEUES = 5


def details(
    client: Client, namespace: str, name: str, *, keys: Collection[str] = (), conn: Connection | None = None
) -> dict[str, Any]:
    """Everything about one job; parts that could not be looked at are in `missing`, with the reason.

    A live job that was deleted has only its versions.

    :param keys: JSON keys whose values are hidden
    :raises JobNotFound: there is no such job, and there was no live one
    """
    with client.connection(conn) as current:
        if not client.run(installed.is_current, current):
            raise JobNotFound(namespace, name)
        parts = Parts(client, current)
        rows = client.run(lambda: inspection.jobs(namespace, name), current)
        versions = _versions(parts, namespace, name, keys) if not rows or rows[0]["live"] else None
        if not rows:
            if not versions:
                raise JobNotFound(namespace, name)
            return {"job": None, "versions": versions, "missing": parts.missing}
        shown = listed.job(client, namespace, name, current)
        found = listed.as_stored(rows[0])
        job = parts.get("calendar", lambda: _on_its_days(found), None)
        skipped = _skipped(parts, rows[0])
        return {
            "at": rows[0]["now"],
            "job": shown,
            "definition": _document(found, keys),
            "versions": versions,
            "calendar": _calendar(parts, rows[0], job, skipped),
            **_history(parts, rows[0], job),
            "overdue": _overdue(parts, rows[0]),
            "missing": parts.missing,
        }


def _on_its_days(found: PeriodicJob | str) -> Any:
    """The job with the days of its calendars; None if this code cannot read it, or one is missing."""
    if isinstance(found, str):
        return None
    days = yield from calendars.needed([found])
    return found.on(days) if found.calendar_names <= days.keys() else None


def _document(found: PeriodicJob | str, keys: Collection[str]) -> dict[str, Any] | None:
    """The fields of a job as documents have them, without the values of these keys."""
    if isinstance(found, str):
        return None
    try:
        return job_form.hidden(job_documents.as_mapping(found), keys)
    except (*UNREADABLE, InvalidInput):
        return None


def _versions(parts: Parts, namespace: str, name: str, keys: Collection[str]) -> list[dict[str, Any]]:
    found: list[JobVersion] = parts.get("versions", lambda: live_jobs.versions(namespace, name), [])
    return [_version(each, keys) for each in found]


def _version(each: JobVersion, keys: Collection[str]) -> dict[str, Any]:
    found: dict[str, Any] = {
        "version": each.version,
        "changed_at": each.changed_at,
        "changed_by": each.changed_by,
        "deleted": each.definition is None,
        "definition": None,
        "problem": None,
    }
    if each.definition is not None:
        try:
            job = each.job
            found["definition"] = _document(job, keys) if job else None
        except UNREADABLE as exc:
            found["problem"] = unreadable(exc)
    return found


def _skipped(parts: Parts, row: Row) -> list[datetime]:
    """Slots to come that people left out."""
    found: list[datetime] = parts.get(
        "calendar",
        lambda: job_slots.skipped(row["namespace"], row["name"], row["now"], slot_outcomes.MOST),
        [],
    )
    return found


def _calendar(
    parts: Parts, row: Row, job: PeriodicJob | None, skipped: Sequence[datetime]
) -> dict[str, Any] | None:
    if job is None:
        return None
    try:
        days = slot_calendar.days(job, skipped, row["now"])
    except UNREADABLE as exc:
        parts.leave_out("calendar", unreadable(exc))
        return None
    return {"zone": job.timezone, "days": [{**asdict(day), "day": day.day.isoformat()} for day in days]}


def _history(parts: Parts, row: Row, job: PeriodicJob | None) -> dict[str, Any]:
    namespace, name, now = row["namespace"], row["name"], row["now"]
    since, most = now - slot_outcomes.FURTHEST, slot_outcomes.MOST
    rows: list[Row] = parts.get("history", lambda: job_slots.latest(namespace, name, since, now, most), [])
    messages, unseen = _messages(parts, namespace, name, rows)
    dead = _dead_letters(parts, namespace, name, row["queue_name"])
    by_key = {slots.key(namespace, name, each["slot"]): each["slot"] for each in rows}
    for key in dead.pop("keys"):
        if key in by_key:
            messages.setdefault(by_key[key], Message("dead"))
    progress = Progress(
        now=now, watermark=row["watermark"], deployed_at=row["deployed_at"], paused=row["paused"]
    )
    try:
        past = slots.before(job, now, slot_outcomes.MOST, slot_outcomes.FURTHEST) if job else []
    except UNREADABLE as exc:
        parts.leave_out("history", unreadable(exc))
        past, job = [], None
    found = slot_outcomes.outcomes(job, past, rows, messages, unseen, progress)
    for each in found:
        if each.get("msg_id") is not None:
            each["msg_id"] = message_view.number(each["msg_id"])
    return {
        "history": {"since": since, "most": slot_outcomes.MOST, "slots": found},
        "dead_letters": dead,
    }


def _messages(
    parts: Parts, namespace: str, name: str, rows: Sequence[Row]
) -> tuple[dict[datetime, Message], set[str]]:
    """Where the messages of slots are, and the queues that could not be looked into."""
    sent: dict[str, list[Row]] = defaultdict(list)
    for row in rows:
        if row["queue_name"] and row["msg_id"] is not None:
            sent[row["queue_name"]].append(row)
    unseen = set(list(sent)[MOST_QUEUES:])
    if unseen:
        parts.leave_out("history", f"Only the last {MOST_QUEUES} queues of the job are looked into.")
    places: list[Place] = []
    for queue_name in list(sent)[:MOST_QUEUES]:
        places += _places(parts, queue_name, unseen)
    answers, failed = faulty_queues.apart(
        parts.client,
        parts.conn,
        places,
        lambda place: place[0],
        lambda asked: job_slots.messages(namespace, name, sent, asked),
    )
    for queue_name, problem in failed.items():
        unseen.add(queue_name)
        parts.leave_out("history", problem.text)
    found: dict[datetime, Message] = {}
    for answer in answers:
        # A message that another one replaced may be in both; the queue is newer.
        found = {**answer, **found}
    return found, unseen


def _places(parts: Parts, queue_name: str, unseen: set[str]) -> list[Place]:
    known = parts.get("history", lambda: overview.briefly(overview.tables(queue_name)), None)
    found = known.tables if known else []
    if not found:
        unseen.add(queue_name)
        parts.leave_out("history", f"Queue {queue_name} does not exist any more.")
        return []
    if left_out := queue_shape.left_out(found[0], archive=True):
        unseen.add(queue_name)
        for text in left_out:
            parts.leave_out("history", text)
    return inspection.places(found[0])


def _dead_letters(parts: Parts, namespace: str, name: str, queue_name: str) -> dict[str, Any]:
    """How many dead letters of the job are in the dead letter queue of its queue; None: unknown."""
    dead_letter_queue = names.dead_letter_queue(queue_name)
    found: dict[str, Any] = {"queue_name": None, "count": 0, "keys": []}
    known = parts.get("dead_letters", lambda: overview.briefly(overview.tables(dead_letter_queue)), None)
    if known is None or not known.tables:
        return {**found, "count": None if known is None else 0}
    found["queue_name"] = dead_letter_queue
    if left_out := queue_shape.left_out(known.tables[0], archive=False):
        parts.leave_out("dead_letters", left_out[0])
        return {**found, "count": None}
    keys = parts.get(
        "dead_letters",
        lambda: overview.briefly(job_slots.dead_letters(namespace, name, dead_letter_queue)),
        None,
    )
    return {**found, "count": None if keys is None else len(keys), "keys": keys or []}


def _overdue(parts: Parts, row: Row) -> list[dict[str, Any]] | None:
    """Its overdue slots; None if it does not say when it expects them to be done, or that is unknown."""
    if not listed.expects(row):
        return None
    late = parts.get("overdue", lambda: overview.briefly(overdue.overdue(row["namespace"])), None)
    if late is None:
        return None
    return [each.as_dict() | {"text": str(each)} for each in late if each.name == row["name"]]
