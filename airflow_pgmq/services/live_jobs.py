"""Live jobs: put, changed and deleted at run time, under the lock of their namespace."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from airflow_pgmq.core import stored_jobs
from airflow_pgmq.core.dedup import DEDUP_WINDOW
from airflow_pgmq.core.deploys import Deploy
from airflow_pgmq.core.jobs import PeriodicJob
from airflow_pgmq.core.live_jobs import JobVersion, is_same
from airflow_pgmq.core.message_template import Renderer
from airflow_pgmq.core.messages import Row
from airflow_pgmq.core.summary import Summary
from airflow_pgmq.db.statements import Flow, live_jobs, periodic, queues
from airflow_pgmq.errors import (
    CalendarNotFound,
    InvalidArgument,
    InvalidJobs,
    JobChanged,
    JobDeclared,
    JobNotFound,
    QueueNotFound,
)
from airflow_pgmq.services import calendars
from airflow_pgmq.services.replacing import Replacement
from airflow_pgmq.services.tick_rounds import Rounds

#: As the operator's defaults, for a namespace that was not ticked yet.
GRACE, LOOK_AHEAD = timedelta(minutes=5), timedelta(minutes=10)


def put(
    namespace: str,
    jobs: Sequence[PeriodicJob],
    *,
    by: str,
    expected: Mapping[str, int] | None = None,
    renderer: Renderer | None = None,
) -> Flow[dict[str, int]]:
    """Make live jobs, or give them new definitions: all of them, or none; returns their versions.

    What is the same already keeps its version. An old definition first sends its slots up to now.

    :param expected: the versions that were looked at; 0: the job did not exist
    :param jobs: without problems, and each name once
    :raises InvalidJobs: an old definition cannot send its slots up to now
    :raises InvalidArgument: a version of none of the jobs is expected
    :raises QueueNotFound: a job's queue does not exist
    :raises CalendarNotFound: one of its calendars does not
    :raises JobDeclared: a Dag declares a job of this name
    :raises JobChanged: somebody else was first
    """
    yield live_jobs.open_namespace(namespace)
    locked = yield periodic.lock_namespace(namespace)
    states = yield live_jobs.states(namespace, [job.name for job in jobs])
    _check(namespace, locked["owner"], states, expected)
    yield from _check_needs(jobs)
    wanted = [
        job
        for job in jobs
        if not (states[job.name]["is_there"] and is_same(job, states[job.name]["definition"]))
    ]
    versions = {name: state["newest"] for name, state in states.items()}
    versions |= {job.name: states[job.name]["newest"] + 1 for job in wanted}
    numbered = [replace(job, version=versions[job.name]) for job in wanted]
    change = Deploy(
        added=tuple(job for job in numbered if not states[job.name]["is_there"]),
        changed=tuple(job for job in numbered if states[job.name]["is_there"]),
    )
    yield from _replace(namespace, locked, change, renderer)
    definitions = {job.name: (job.version, job.definition_json) for job in numbered}
    if definitions:
        yield live_jobs.note_versions(namespace, definitions, by, locked["now"])
    return versions


def delete(namespace: str, name: str, *, by: str, expected: int | None = None) -> Flow[int]:
    """Delete a live job, and take back what it enqueued ahead of time; returns how many messages.

    :raises JobNotFound: there is no such job
    :raises JobDeclared: a Dag declares it
    :raises JobChanged: somebody else was first
    """
    locked = yield periodic.lock_namespace(namespace)
    state = (yield live_jobs.states(namespace, [name]))[name]
    if locked is None or not state["is_there"]:
        raise JobNotFound(namespace, name)
    _check(namespace, locked["owner"], {name: state}, None if expected is None else {name: expected})
    counts = yield from _replace(namespace, locked, Deploy(removed=(name,)), None)
    yield live_jobs.note_versions(namespace, {name: (state["newest"] + 1, None)}, by, locked["now"])
    return counts.taken_back


def versions(namespace: str, name: str) -> Flow[list[JobVersion]]:
    """The last versions of a live job, the newest first.

    :raises JobNotFound: there never was one of this name
    """
    found: list[JobVersion] = yield live_jobs.versions(namespace, name)
    if not found:
        raise JobNotFound(namespace, name)
    return found


def stored(namespace: str) -> Flow[list[PeriodicJob]]:
    """The live jobs of a namespace.

    :raises InvalidJobs: other code has put one, and this code cannot read it
    """
    found, wrong = [], {}
    for name, definition in (yield live_jobs.definitions(namespace)).items():
        try:
            found.append(stored_jobs.read(name, definition))
        except stored_jobs.UNREADABLE as exc:
            wrong[name] = [f"this version of airflow_pgmq cannot read it: {stored_jobs.unreadable(exc)}"]
    if wrong:
        raise InvalidJobs(wrong)
    return found


def _check(namespace: str, owner: str, states: Mapping[str, Row], expected: Mapping[str, int] | None) -> None:
    declared = [name for name, state in states.items() if state["is_there"] and not state["live"]]
    if declared:
        raise JobDeclared(namespace, declared, owner)
    for name, version in (expected or {}).items():
        if name not in states:
            raise InvalidArgument(f"expected_versions names {name!r}, which is not among the jobs.")
        current = states[name]["newest"] if states[name]["is_there"] else 0
        if version != current:
            raise JobChanged(namespace, name, current, version)


def _check_needs(jobs: Sequence[PeriodicJob]) -> Flow[None]:
    for queue_name in sorted((yield queues.missing({job.queue_name for job in jobs}))):
        raise QueueNotFound(queue_name)
    days = yield from calendars.needed(jobs)
    for name in sorted({name for job in jobs for name in job.calendar_names} - days.keys()):
        raise CalendarNotFound(name)


def _replace(
    namespace: str, locked: Mapping[str, Any], change: Deploy, renderer: Renderer | None
) -> Flow[Summary]:
    by_name = {job.name: job for job in (*change.added, *change.changed)}
    replacement = Replacement(
        by_name=by_name,
        grace=GRACE if locked["grace"] is None else locked["grace"],
        rounds=Rounds(
            namespace=namespace,
            look_ahead=max(locked["horizon"] - locked["ticked_at"], LOOK_AHEAD),
            dedup_window=locked["dedup_window"] or DEDUP_WINDOW,
            source=None,
            queue_names=frozenset(job.queue_name for job in by_name.values()),
            renderer=renderer,
        ),
        now=locked["now"],
        is_known=locked["known"],
        live=True,
    )
    counts = Summary()
    known = {job.name: job for job in (yield periodic.stored_jobs(namespace)) if job.live}
    until: datetime | None = None
    while (behind := (yield from replacement.run(counts, known, change, until))) is not None:
        if counts.failed:
            # Otherwise it would be behind for ever.
            break
        until = behind.until
    if counts.failed:
        raise InvalidJobs(counts.failed)
    return counts
