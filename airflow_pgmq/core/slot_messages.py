"""Slots of periodic jobs → the batches that enqueue them, a queue at a time."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from airflow_pgmq.core import message_template, payload, slots
from airflow_pgmq.core.batch import Batch
from airflow_pgmq.core.jobs import PeriodicJob
from airflow_pgmq.core.message_template import Renderer, SlotValues
from airflow_pgmq.errors import InvalidMessage


@dataclass(slots=True)
class Outgoing:
    """One slot's message, with what the summary of a tick needs."""

    job: PeriodicJob
    slot: datetime
    key: str
    visible_at: datetime
    headers: str
    message: str

    def is_expired(self, now: datetime) -> bool:
        """Whether it would expire before a reader can see it."""
        return slots.is_expired(self.job, self.slot, self.visible_at, now)


def outgoing(
    job: PeriodicJob,
    slot: datetime,
    namespace: str,
    source: Mapping[str, Any] | None,
    renderer: Renderer | None = None,
) -> Outgoing:
    """The message of one slot; the same from ticks, backfills and previews except for `source`.

    :raises InvalidMessage: a template of the job fails for this slot
    """
    key = slots.key(namespace, job.name, slot)
    visible_at = slots.visible_at(job, slot, key)
    own, message = _rendered(job, slot, namespace, renderer)
    headers = _headers(job, own, slot, namespace, key, source, expires_at=slots.expires_at(job, slot))
    return Outgoing(job, slot, key, visible_at, headers, message)


def at_once(
    job: PeriodicJob,
    slot: datetime,
    now: datetime,
    namespace: str,
    source: Mapping[str, Any] | None,
    renderer: Renderer | None = None,
) -> Outgoing:
    """A message of the job outside its slots; its key is not a slot's, so no slot counts as sent.

    :raises InvalidMessage: a template of the job fails for this instant
    """
    key = slots.key_of_now(namespace, job.name, now)
    own, message = _rendered(job, slot, namespace, renderer)
    # It expires as a message of now: nobody asks for one that consumers would skip.
    headers = _headers(job, own, slot, namespace, key, source, expires_at=slots.expires_at(job, now))
    return Outgoing(job, slot, key, now, headers, message)


def _rendered(
    job: PeriodicJob, slot: datetime, namespace: str, renderer: Renderer | None
) -> tuple[Mapping[str, Any], str]:
    """The job's own headers and its message, as JSON."""
    if not job.has_templates:
        return job.headers or {}, job.message_json
    if renderer is None:
        raise InvalidMessage(f"Job {job.name!r} has templates, and nothing here renders them.")
    values = SlotValues(job, slot, namespace)
    headers = message_template.render(job.headers_json, values, renderer) if job.headers else {}
    message = payload.canonical(message_template.render(job.message_json, values, renderer))
    payload.check_size(message, renderer.max_bytes)
    return headers, message


def _headers(
    job: PeriodicJob,
    own: Mapping[str, Any],
    slot: datetime,
    namespace: str,
    key: str,
    source: Mapping[str, Any] | None,
    *,
    expires_at: datetime | None,
) -> str:
    """The headers of a job's message, as JSON; ours win over the job's own."""
    found: dict[str, Any] = {**own, "job": job.name, "namespace": namespace}
    found |= {"slot": slots.text(slot), "version": job.version, "dedup_key": key}
    if expires_at is not None:
        found["expires_at"] = expires_at.isoformat()
    if job.group is not None:
        found["x-pgmq-group"] = job.group
    if source is not None:
        found["source"] = source
    return payload.dumps_headers(found)


def by_queue(items: Iterable[Outgoing]) -> dict[str, list[Outgoing]]:
    """Messages by queue, each queue's oldest slot first, so that ids follow time."""
    found: dict[str, list[Outgoing]] = defaultdict(list)
    for item in items:
        found[item.job.queue_name].append(item)
    for queued in found.values():
        queued.sort(key=lambda item: (item.visible_at, item.key))
    return dict(sorted(found.items()))


def batch(items: Sequence[Outgoing]) -> Batch:
    """Messages of one queue as columns."""
    return Batch(
        [item.message for item in items],
        headers=[item.headers for item in items],
        instants=[item.visible_at for item in items],
    )
