"""Pause, resume, run now, remove: what people do to periodic jobs from outside their Dag."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from airflow_pgmq import ticker
from airflow_pgmq.core import jobs, payload, slots
from airflow_pgmq.core.batch import Batch
from airflow_pgmq.core.messages import SendResult
from airflow_pgmq.errors import JobNotFound
from airflow_pgmq.statements import Flow, periodic, sending


def pause(namespace: str, name: str) -> Flow[int]:
    """Stop a job and take back what it enqueued ahead of time; how many messages that were."""
    row = yield from _locked(namespace, name)
    withdrawn = yield from ticker.withdraw(namespace, [_stored(name, row)], row["now"])
    count, first_slot = withdrawn.get(name, (0, None))
    yield periodic.pause(namespace, name, first_slot)
    return count


def resume(namespace: str, name: str) -> Flow[None]:
    """Let a job go on; its next tick catches up by the job's policy."""
    yield from _locked(namespace, name)
    yield periodic.resume(namespace, name)


def run_now(namespace: str, name: str, source: dict[str, Any] | None = None) -> Flow[SendResult]:
    """Send one message of the job at once, next to its slots, as it was last deployed."""
    row = yield from _locked(namespace, name)
    definition = row["definition"]
    now = row["now"]
    headers = {**definition["headers"], "job": name, "namespace": namespace, "version": definition["version"]}
    headers |= {"slot": slots.text(now), **({"source": source} if source else {})}
    if definition["ttl"] is not None:
        headers["expires_at"] = (now + timedelta(seconds=definition["ttl"])).isoformat()
    if definition["group"] is not None:
        headers["x-pgmq-group"] = definition["group"]
    key = f"{namespace}/{name}/now/{now.isoformat()}"
    batch = Batch(
        [payload.dumps(definition["message"], max_bytes=None)],
        headers=[payload.dumps_headers(headers)],
        keys=[key],
    )
    results: list[SendResult] = yield from sending.keyed(
        row["queue_name"], batch, scope="once", on_duplicate="skip", window=timedelta(days=1)
    )
    return results[0]


def remove(namespace: str) -> Flow[int]:
    """Forget a namespace whose Dag is gone, and take back what it enqueued ahead of time."""
    locked = yield periodic.lock_namespace(namespace)
    if locked is None:
        return 0
    stored = yield periodic.stored_jobs(namespace)
    withdrawn = yield from ticker.withdraw(namespace, stored, locked["now"])
    yield periodic.remove_namespace(namespace)
    return sum(count for count, _ in withdrawn.values())


def _locked(namespace: str, name: str) -> Flow[Any]:
    yield periodic.lock_namespace(namespace)
    row = yield periodic.definition(namespace, name)
    if row is None:
        raise JobNotFound(namespace, name)
    return row


def _stored(name: str, row: Any) -> jobs.Stored:
    return jobs.Stored(name, 0, "", row["queue_name"], row["watermark"], row["next_slot"], row["paused"])
