"""Live jobs: what is stored of them beside their state, and their versions."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Any

from airflow_pgmq.core import names
from airflow_pgmq.core.live_jobs import JobVersion
from airflow_pgmq.core.messages import Row
from airflow_pgmq.db.sql import code
from airflow_pgmq.db.statements import Statement, many

#: So many versions of each job are kept.
KEPT = 100


def open_namespace(namespace: str) -> Statement[None]:
    """Register a namespace that nobody ticks, unless it is there."""
    return Statement("open_namespace", {"namespace": names.job(namespace, "Namespace"), "code": code()})


def states(namespace: str, job_names: Sequence[str]) -> Statement[dict[str, Row]]:
    """By name: `is_there`, `live`, `definition`, and the `newest` version of a live job, or 0."""
    return Statement(
        "put_jobs_state",
        {"namespace": namespace, "names": list(job_names)},
        decode=lambda rows: {row["name"]: row for row in rows},
    )


def note_versions(
    namespace: str, definitions: Mapping[str, tuple[int, str | None]], by: str, now: datetime
) -> Statement[None]:
    """Note the new version of each job: its number and definition, None if the job was deleted."""
    params = {
        "namespace": namespace,
        "names": list(definitions),
        "versions": [version for version, _ in definitions.values()],
        "definitions": [definition for _, definition in definitions.values()],
        "changed_by": by,
        "now": now,
        "kept": KEPT,
    }
    return Statement("note_versions", params)


def versions(namespace: str, name: str) -> Statement[list[JobVersion]]:
    """The versions of a job, the newest first."""
    return Statement(
        "job_versions",
        {"namespace": namespace, "name": name},
        decode=many(lambda row: JobVersion(name=name, **row)),
    )


def definitions(namespace: str) -> Statement[dict[str, Any]]:
    """The definitions of all live jobs of a namespace, by name."""
    return Statement(
        "live_definitions",
        {"namespace": namespace},
        decode=lambda rows: {row["name"]: row["definition"] for row in rows},
    )


def sending(namespace: str, queue_names: Collection[str]) -> Statement[dict[str, str]]:
    """Live jobs that send to one of these queues, with their queue."""
    return Statement(
        "live_jobs_sending",
        {"namespace": namespace, "queue_names": sorted(queue_names)},
        decode=lambda rows: {row["name"]: row["queue_name"] for row in rows},
    )
