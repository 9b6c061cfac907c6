"""The state of periodic jobs: namespaces, watermarks, withdrawals."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

from airflow_pgmq.core import names, slots, strip
from airflow_pgmq.core.jobs import PeriodicJob, Stored
from airflow_pgmq.core.messages import Row
from airflow_pgmq.statements import Flow, Statement, column, first, many, on_queue


def open_namespace(namespace: str, owner: str, version: int) -> Statement[Row]:
    """Find or register the namespace and hold its lock."""
    params = {"namespace": names.job(namespace, "Namespace"), "owner": owner, "version": version}
    return Statement("open_namespace", params, decode=lambda rows: rows[0])


def lock_namespace(namespace: str) -> Statement[Row | None]:
    """Hold the namespace's lock; None if it is unknown."""
    return Statement("lock_namespace", {"namespace": namespace}, decode=first)


def deploy_namespace(namespace: str, owner: str, version: int, fingerprint: str) -> Statement[None]:
    """Note that this set of jobs is the one in force."""
    params = {"namespace": namespace, "owner": owner, "version": version, "fingerprint": fingerprint}
    return Statement("deploy_namespace", params)


def close_tick(namespace: str, owner: str, version: int, horizon: datetime) -> Statement[None]:
    """Note that all is done up to the horizon, and by which version."""
    params = {"namespace": namespace, "owner": owner, "version": version, "horizon": horizon}
    return Statement("close_tick", params)


def stored_jobs(namespace: str) -> Statement[list[Stored]]:
    """The state of the namespace's jobs."""
    return Statement("stored_jobs", {"namespace": namespace}, decode=many(lambda row: Stored(**row)))


def due_jobs(
    namespace: str, window: slots.Window, outdated: Sequence[str], limit: int
) -> Statement[list[Row]]:
    """Jobs with something to do in the window."""
    params = {
        "namespace": namespace,
        "now": window.now,
        "horizon": window.horizon,
        "outdated": list(outdated),
        "limit": limit,
    }
    return Statement("due_jobs", params, decode=list)


def upsert_jobs(namespace: str, watermarks: Sequence[tuple[PeriodicJob, datetime]]) -> Statement[None]:
    """Register or redefine jobs; their next slot is open from the watermark on."""
    declared = [job for job, _ in watermarks]
    return Statement(
        "upsert_jobs",
        {
            "namespace": namespace,
            "names": [job.name for job in declared],
            "versions": [job.version for job in declared],
            "fingerprints": [job.fingerprint for job in declared],
            "definitions": [job.definition_json for job in declared],
            "queue_names": [job.queue_name for job in declared],
            "overlap_skips": [job.overlap == "skip" for job in declared],
            "watermarks": [watermark for _, watermark in watermarks],
        },
    )


def advance_jobs(namespace: str, rows: Sequence[Mapping[str, Any]]) -> Statement[None]:
    """Move watermarks and note what was sent last."""
    columns = ("name", "watermark", "next_slot", "last_slot", "last_key", "last_msg_id")
    return Statement(
        "advance_jobs", {"namespace": namespace, **{f"{c}s": [row.get(c) for row in rows] for c in columns}}
    )


def remove_jobs(namespace: str, job_names: Sequence[str]) -> Statement[None]:
    """Forget jobs."""
    return Statement("remove_jobs", {"namespace": namespace, "names": list(job_names)})


def remove_namespace(namespace: str) -> Statement[None]:
    """Forget the namespace and its jobs."""
    return Statement("remove_namespace", {"namespace": namespace})


def withdraw(queue_name: str, namespace: str, from_slots: Mapping[str, datetime]) -> Statement[list[Row]]:
    """Take back unseen messages of these jobs, slots from the given ones on."""
    return on_queue(
        "withdraw",
        queue_name,
        list,
        namespace=namespace,
        names=list(from_slots),
        from_slots=[slots.text(slot) for slot in from_slots.values()],
    )


def still_queued(queue_name: str, last: Mapping[int, str]) -> Statement[list[int]]:
    """Which of these messages (id → key) are still in the queue."""
    return on_queue(
        "still_queued", queue_name, column("msg_id"), msg_ids=list(last), keys=list(last.values())
    )


def definition(namespace: str, name: str) -> Statement[Row | None]:
    """One job's stored definition and state."""
    return Statement("job_definition", {"namespace": namespace, "name": name}, decode=first)


def pause(namespace: str, name: str, first_slot: datetime | None) -> Statement[None]:
    """Mark the job as paused; `first_slot` is the first one that was withdrawn."""
    return Statement("pause_job", {"namespace": namespace, "name": name, "first_slot": first_slot})


def resume(namespace: str, name: str) -> Statement[None]:
    """Mark the job as running."""
    return Statement("resume_job", {"namespace": namespace, "name": name})


def note_repeats(namespace: str, repeats: Iterable[tuple[str, datetime]]) -> Flow[None]:
    """Note slots, as job and instant, that were met although they had been sent; forget old ones."""
    job_names, met = zip(*repeats, strict=True)
    yield Statement("note_repeats", {"namespace": namespace, "names": list(job_names), "slots": list(met)})
    yield Statement("prune_repeats", {"keep": strip.FURTHEST, "limit": 10_000})


def list_jobs(namespace: str | None) -> Statement[list[Row]]:
    """All jobs with their state."""
    return Statement("list_jobs", {"namespace": namespace}, decode=list)
