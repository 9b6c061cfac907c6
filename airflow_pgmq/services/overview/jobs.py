"""Periodic jobs: when they send, whether they have sent, and what is wrong."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from typing import Any

from airflow_pgmq.core import dead_slots, problems, slot_history, slots
from airflow_pgmq.core.calendars import NamedDays
from airflow_pgmq.core.jobs import PeriodicJob
from airflow_pgmq.core.messages import Row
from airflow_pgmq.core.overdue import OverdueSlot
from airflow_pgmq.core.problems import Problem
from airflow_pgmq.core.schedule.definitions import stored_rule
from airflow_pgmq.core.stored_jobs import UNREADABLE, unreadable
from airflow_pgmq.db.client import Client, Connection
from airflow_pgmq.db.statements import inspection, job_slots, overdue, overview
from airflow_pgmq.errors import JobNotFound
from airflow_pgmq.services import calendars
from airflow_pgmq.services.overview import installed, words
from airflow_pgmq.services.overview.parts import Parts

UPCOMING = 5
#: Jobs whose slots are looked up: 30 keys each.
STRIPS = 500
#: Jobs whose definitions are read. Of the others it is shown what is stored, such as the next slot that is
#: not sent yet: a hundred thousand would take half a minute.
READ = 2000
#: Slots ahead that people left out, of all jobs.
SKIPPED = 10_000


def jobs(
    client: Client,
    namespace: str | None = None,
    name: str | None = None,
    conn: Connection | None = None,
) -> dict[str, Any]:
    """All jobs, of one namespace or of all, and their namespaces."""
    with client.connection(conn) as current:
        if not client.run(installed.is_current, current):
            return {"at": datetime.now(timezone.utc), "namespaces": [], "jobs": []}
        sets = client.run(lambda: inspection.namespaces(namespace), current)
        rows = client.run(lambda: inspection.jobs(namespace, name), current)
        read = {_id(row): as_stored(row) for row in rows[:READ]}
        known = [job for job in read.values() if isinstance(job, PeriodicJob)]
        days = client.run(lambda: calendars.needed(known), current)
        skipped = _skipped(Parts(client, current), namespace, rows)
        slots_of = {
            _id(row): _slots(row, read[_id(row)], days, skipped.get(_id(row), ()), with_past=place < STRIPS)
            for place, row in enumerate(rows[:READ])
        } | {_id(row): _Slots(past=None, upcoming=_next_slot(row)) for row in rows[READ:]}
        asked = [(*job, slot) for job, found in slots_of.items() for slot in found.past or ()]
        sent = client.run(lambda: inspection.sent_slots(asked), current) if asked else {}
        late = _overdue(Parts(client, current), namespace, rows)
    ticked = {row["namespace"]: row["ticked_at"] for row in sets}
    return {
        "at": max((row["now"] for row in (*sets, *rows)), default=datetime.now(timezone.utc)),
        "namespaces": [_namespace(row) for row in sets],
        "jobs": [
            _job(row, slots_of[_id(row)], sent.get(_id(row), {}), late.get(_id(row)))
            for row in rows
            if row["namespace"] in ticked
        ],
    }


def job(client: Client, namespace: str, name: str, conn: Connection | None = None) -> dict[str, Any]:
    """One job.

    :raises JobNotFound: the namespace has no such job
    """
    found: list[dict[str, Any]] = jobs(client, namespace, name, conn)["jobs"]
    if not found:
        raise JobNotFound(namespace, name)
    return found[0]


def expects(row: Row) -> bool:
    """Whether a stored job says when its slots are expected to be done."""
    definition = row["definition"]
    return isinstance(definition, Mapping) and definition.get("expect_within") is not None


def _overdue(
    parts: Parts, namespace: str | None, rows: Sequence[Row]
) -> dict[tuple[str, str], list[OverdueSlot]]:
    """Those of each job that says when it expects them to be done; nothing if it takes long."""
    found: dict[tuple[str, str], list[OverdueSlot]] = {_id(row): [] for row in rows if expects(row)}
    if not found:
        return {}
    late = parts.get("overdue", lambda: overview.briefly(overdue.overdue(namespace), limit="1s"), None)
    if late is None:
        return {}
    for each in late:
        found.setdefault((each.namespace, each.name), []).append(each)
    return found


def _skipped(
    parts: Parts, namespace: str | None, rows: Sequence[Row]
) -> dict[tuple[str, str], list[datetime]]:
    """Slots ahead that people left out."""
    if not rows:
        return {}
    return parts.get("skipped", lambda: job_slots.all_skipped(namespace, rows[0]["now"], SKIPPED), {})


def _id(row: Row) -> tuple[str, str]:
    return row["namespace"], row["name"]


@dataclass(frozen=True)
class _Slots:
    """The slots of a stored job, computed from its definition."""

    #: None: this code cannot read it; `problem` says why.
    job: PeriodicJob | None = None
    #: None: not computed.
    past: Sequence[datetime] | None = ()
    upcoming: Sequence[datetime] = ()
    #: Seconds by which the last message was late; 0 for a delay that one tick explains.
    lateness: float | None = None
    problem: Problem | None = None


def as_stored(row: Row) -> PeriodicJob | str:
    """A stored job, or why this code cannot read it."""
    try:
        job = PeriodicJob.from_definition(row["name"], row["definition"])
        return "; ".join(job.unknown()) or job
    except UNREADABLE as exc:
        return unreadable(exc)


def _slots(
    row: Row, found: PeriodicJob | str, days: NamedDays, skipped: Sequence[datetime], *, with_past: bool
) -> _Slots:
    """Compute them, once; a definition that cannot be read must not affect other rows."""
    if isinstance(found, str):
        return _unreadable(found, with_past)
    if missing := found.calendar_names - days.keys():
        past = () if with_past else None
        return _Slots(past=past, problem=problems.without_calendar(sorted(missing)))
    job = found.on(days)
    try:
        return _Slots(
            job,
            slot_history.recent(job, row["now"]) if with_past else None,
            [] if row["paused"] else slots.upcoming(job.without(skipped), row["now"], UPCOMING),
            _lateness(row, job),
        )
    except UNREADABLE as exc:
        return _unreadable(unreadable(exc), with_past)


def _next_slot(row: Row) -> list[datetime]:
    """The slot that a tick has computed; after a deploy, an instant is stored that is no slot."""
    is_known = not row["paused"] and row["next_slot"] is not None and row["next_slot"] > row["watermark"]
    return [row["next_slot"]] if is_known else []


def _unreadable(why: str, with_past: bool) -> _Slots:
    return _Slots(past=() if with_past else None, problem=problems.unreadable_job(why))


def _namespace(row: Row) -> dict[str, Any]:
    dag_id, task_id = split_owner(row["owner"])
    wrong = problems.of_namespace(
        namespace=row["namespace"],
        owner=row["owner"],
        ticked_at=row["ticked_at"],
        now=row["now"],
        failed=row["left_out"],
    )
    return {
        "namespace": row["namespace"],
        "owner": row["owner"],
        "dag_id": dag_id,
        "task_id": task_id,
        "version": row["version"],
        "last_tick_at": row["ticked_at"],
        "problems": [problem.as_dict() for problem in wrong],
    }


def _job(
    row: Row,
    found: _Slots,
    sent: Mapping[datetime, slot_history.Sent],
    late: Sequence[OverdueSlot] | None,
) -> dict[str, Any]:
    dag_id, task_id = split_owner(row["owner"])
    definition: dict[str, Any] = defaultdict(lambda: None)
    if isinstance(row["definition"], Mapping):
        definition.update(row["definition"])
    now = row["now"]
    wrong = [
        *([found.problem] if found.problem else []),
        *problems.overdue_slots(late or ()),
        *([dead_slots.paused(row["paused_for"])] if row["paused_for"] else []),
        *problems.of_job(
            paused=row["paused"], next_slot=row["next_slot"], ticked_at=row["ticked_at"], now=now
        ),
    ]
    progress = slot_history.Progress(
        now=now, watermark=row["watermark"], deployed_at=row["deployed_at"], paused=row["paused"]
    )
    past = slot_history.states(found.job, found.past or (), progress, sent) if found.job else []
    return {
        "namespace": row["namespace"],
        "name": row["name"],
        **_schedule(definition, in_words=bool(found.job or found.problem)),
        "timezone": definition["timezone"],
        "queue_name": row["queue_name"],
        "version": row["version"],
        "paused": row["paused"],
        "paused_for": row["paused_for"],
        "live": row["live"],
        "next_slots": list(found.upcoming),
        "last_slot": row["last_slot"],
        "last_sent_at": row["last_sent_at"],
        "lateness": found.lateness,
        "overdue": None if late is None else len(late),
        "owner": row["owner"],
        "dag_id": dag_id,
        "task_id": task_id,
        # None is unknown, which is not empty.
        "slots": [{"slot": slot, "state": state} for slot, state in past] if found.past is not None else None,
        "problems": [problem.as_dict() for problem in wrong],
    }


def _schedule(definition: Mapping[str, Any], *, in_words: bool) -> dict[str, str | None]:
    """The schedule as it was written, and in words, which takes 2 ms for each cron."""
    rule = definition["schedule"]
    if rule is None or (isinstance(rule, Mapping) and "cron" in rule):
        cron = definition["cron"] if rule is None else rule["cron"]
        words_ = words.of_cron(str(cron or ""), str(definition["seconds"] or "last")) if in_words else cron
        return {"schedule": cron, "words": words_}
    try:
        text = str(stored_rule(rule))
    except UNREADABLE:
        text = str(rule)
    return {"schedule": text, "words": text}


def _lateness(row: Row, job: PeriodicJob) -> float | None:
    if row["last_slot"] is None or row["last_sent_at"] is None:
        return None
    key = slots.key(row["namespace"], row["name"], row["last_slot"])
    due = slots.visible_at(job, row["last_slot"], key)
    late: timedelta = row["last_sent_at"] - due
    return late.total_seconds() if late > slot_history.LATE else 0.0


def split_owner(owner: str) -> tuple[str, str]:
    """Dag and task, split at the first dot; if the Dag's id has dots, the caller must correct it."""
    dag_id, _, task_id = owner.partition(".")
    return dag_id, task_id
