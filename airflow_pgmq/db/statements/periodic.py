"""The state of periodic jobs: namespaces, watermarks, messages that are taken back."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from airflow_pgmq.core import left_out, names, slot_messages, slots
from airflow_pgmq.core.batch import chunks
from airflow_pgmq.core.dedup import Claim
from airflow_pgmq.core.deploys import Stored
from airflow_pgmq.core.jobs import PeriodicJob
from airflow_pgmq.core.messages import Row
from airflow_pgmq.core.slot_messages import Outgoing
from airflow_pgmq.db.sql import code
from airflow_pgmq.db.statements import (
    Flow,
    Statement,
    Steps,
    column,
    first,
    incarnations,
    many,
    on_queue,
    queues,
    scalar,
    sending,
)
from airflow_pgmq.errors import NotRemoved


def register_namespace(namespace: str, owner: str, version: int) -> Statement[Row]:
    """Find or register the namespace and hold its lock."""
    params = {"namespace": names.job(namespace, "Namespace"), "owner": owner, "version": version}
    return Statement("register_namespace", {**params, "code": code()}, decode=lambda rows: rows[0])


def lock_namespace(namespace: str) -> Statement[Row | None]:
    """Hold the namespace's lock; None if it is unknown."""
    return Statement("lock_namespace", {"namespace": namespace, "code": code()}, decode=first)


def clock() -> Statement[datetime]:
    """The database's time."""
    return Statement("clock", decode=scalar("now"))


def deploy_namespace(namespace: str, owner: str, version: int, fingerprint: str) -> Statement[None]:
    """Note that this set of jobs is in force."""
    params = {"namespace": namespace, "owner": owner, "version": version, "fingerprint": fingerprint}
    return Statement("deploy_namespace", params)


def reset_after_clock_change(namespace: str, window: slots.Window) -> Statement[None]:
    """Correct the state after the clock went back."""
    return Statement(
        "reset_after_clock_change", {"namespace": namespace, "now": window.now, "horizon": window.horizon}
    )


def note_lost(namespace: str, newest: int) -> Statement[None]:
    """Note which slots were lost with their queues; `newest` is the newest incarnation that is then known."""
    return Statement("note_lost", {"namespace": namespace, "newest": newest})


def resend_missing(namespace: str, now: datetime) -> Flow[None]:
    """Check that messages that should still wait are in their queues; slots of the others are lost."""
    params = {"namespace": namespace, "now": now}
    for queue_name in (yield Statement("awaited_from", params, decode=column("queue_name"))):
        yield on_queue("resend_missing", queue_name, namespace=namespace, now=now)


def jobs_to_resend(namespace: str, until: datetime) -> Statement[list[str]]:
    """Jobs with slots up to an instant that are to be sent again."""
    params = {"namespace": namespace, "until": until}
    return Statement("jobs_to_resend", params, decode=column("name"))


def free_slots(namespace: str, freed: Sequence[tuple[str, datetime]]) -> Statement[None]:
    """Forget those of these slots that were to be sent again but were not sent."""
    return Statement("free_slots", {"namespace": namespace, **_columns(freed)})


def close_tick(
    namespace: str,
    owner: str,
    version: int,
    window: slots.Window,
    dedup_window: timedelta,
    *,
    is_known: bool,
    failed: Mapping[str, Sequence[str]],
) -> Statement[None]:
    """Note that all slots up to the horizon are done, by which version and rules.

    :param is_known: whether all slots that were ever sent are known now
    :param failed: jobs that were left out, and why
    """
    params = {"namespace": namespace, "owner": owner, "version": version, "is_known": is_known}
    params |= {"left_out": left_out.stored(failed)}
    params |= {"grace": window.grace, "dedup_window": dedup_window}
    return Statement("close_tick", {**params, "now": window.now, "horizon": window.horizon})


def stored_jobs(namespace: str) -> Statement[list[Stored]]:
    """The state of the namespace's jobs."""
    return Statement("stored_jobs", {"namespace": namespace}, decode=many(lambda row: Stored(**row)))


def stored_queues(namespace: str) -> Statement[dict[str, Row]]:
    """The queues that its jobs send to: how many `live_jobs` do, and whether any `expects` or `pauses`."""
    return Statement(
        "stored_queues",
        {"namespace": namespace},
        decode=lambda rows: {row["queue_name"]: row for row in rows},
    )


def stored_definitions(namespace: str, job_names: Sequence[str]) -> Statement[dict[str, Any]]:
    """How jobs were deployed, by name."""
    return Statement(
        "stored_definitions",
        {"namespace": namespace, "names": list(job_names)},
        decode=lambda rows: {row["name"]: row["definition"] for row in rows},
    )


def due_jobs(
    namespace: str,
    window: slots.Window,
    *,
    only: Sequence[str] | None = None,
    without: Sequence[str] = (),
    limit: int | None = None,
) -> Statement[list[Row]]:
    """Jobs with something to do in the window; live ones with their `definition`, if at all."""
    params = {
        "namespace": namespace,
        "now": min(window.now, window.horizon),
        "horizon": window.horizon,
        "only": None if only is None else list(only),
        "without": list(without),
        "limit": limit,
    }
    return Statement("due_jobs", params, decode=list)


def upsert_jobs(
    namespace: str, begun: Sequence[PeriodicJob], now: datetime, *, live: bool = False
) -> Statement[None]:
    """Register jobs or change their definition, from now on; `live` says which kind new ones are."""
    return Statement(
        "upsert_jobs",
        {
            **_definitions(namespace, begun),
            "queue_names": [job.queue_name for job in begun],
            "overlap_skips": [not job.looks_ahead for job in begun],
            "live": live,
            "now": now,
        },
    )


def redefine_jobs(namespace: str, declared: Sequence[PeriodicJob]) -> Statement[None]:
    """Give jobs other policies; their next slot stays as it is."""
    return Statement("redefine_jobs", _definitions(namespace, declared))


def _definitions(namespace: str, declared: Sequence[PeriodicJob]) -> dict[str, Any]:
    return {
        "namespace": namespace,
        "names": [job.name for job in declared],
        "versions": [job.version for job in declared],
        "fingerprints": [job.fingerprint for job in declared],
        "definitions": [job.definition_json for job in declared],
    }


def advance_jobs(
    namespace: str, now: datetime, rows: Sequence[Mapping[str, Any]], meanwhile: Steps | None = None
) -> Statement[None]:
    """Move watermarks and note what was sent last."""
    columns = ("name", "watermark", "next_slot", "last_slot")
    params = {f"{c}s": [row.get(c) for row in rows] for c in columns}
    return Statement("advance_jobs", {"namespace": namespace, "now": now, **params}, meanwhile=meanwhile)


def remove_jobs(namespace: str, job_names: Sequence[str]) -> Statement[None]:
    """Forget jobs."""
    return Statement("remove_jobs", {"namespace": namespace, "names": list(job_names)})


def remove_namespace(namespace: str) -> Statement[None]:
    """Forget the namespace and its jobs."""
    return Statement("remove_namespace", {"namespace": namespace})


def send(
    namespace: str,
    queue_name: str,
    items: Sequence[Outgoing],
    *,
    now: datetime,
    window: timedelta,
    meanwhile: Steps | None = None,
) -> Flow[dict[str, Claim]]:
    """Send the slots of one queue that were not sent yet; returns each claim by key.

    :param meanwhile: of each statement
    """
    batch = slot_messages.batch(items)

    def ask(positions: Sequence[int], again: bool) -> Statement[dict[int, Claim] | None]:
        part = sending.columns(batch.take(positions))
        del part["seconds"], part["common_headers"]
        return on_queue(
            "send_slots",
            queue_name,
            lambda rows: _claims(queue_name, rows, positions),
            namespace=namespace,
            names=[items[position].job.name for position in positions],
            slots=[items[position].slot for position in positions],
            relation=incarnations.relation(queue_name),
            sequence=names.sequence(queue_name),
            code=code(),
            now=now,
            window=window,
            meanwhile=meanwhile,
            **part,
        )

    claims: dict[str, Claim] = {}
    for part in chunks(range(len(items)), batch.chunk_size):
        found = yield from sending.claim_all(queue_name, part, ask)
        claims |= {items[position].key: claim for position, claim in found.items()}
    return claims


def _claims(queue_name: str, rows: Sequence[Row], positions: Sequence[int]) -> dict[int, Claim] | None:
    if not sending.is_answer(queue_name, rows):
        return None
    return {
        positions[place - 1]: (row["status"], msg_id, row["first_at"])
        for row in rows
        for place, msg_id in zip(row["positions"], row["msg_ids"], strict=True)
    }


def adopt(
    namespace: str,
    queue_name: str,
    items: Sequence[Outgoing],
    *,
    since: datetime,
    now: datetime,
    window: timedelta,
) -> Flow[None]:
    """Note as sent those slots whose messages are in this queue, or in its archive since an instant."""
    by_key = {item.key: item for item in items}
    yield from incarnations.settle(queue_name)
    found: dict[str, Row] = {}
    archive = names.table(queue_name, "a")
    if (yield queues.has_headers(archive)):
        params = {"keys": list(by_key), "since": since, "now": now}
        archived = yield Statement("carried_by_archive", params, {"archive": archive}, list, queue_name)
        found |= {row["key"]: row for row in archived}
    if (yield queues.has_headers(names.table(queue_name))):
        carried_by = yield on_queue("carried_by_queue", queue_name, list, keys=list(by_key), now=now)
        found |= {row["key"]: row for row in carried_by}
    if found:
        carried = [(by_key[key], row) for key, row in found.items()]
        yield on_queue(
            "adopt_slots",
            queue_name,
            namespace=namespace,
            names=[item.job.name for item, _ in carried],
            slots=[item.slot for item, _ in carried],
            instants=[item.visible_at for item, _ in carried],
            msg_ids=[row["msg_id"] for _, row in carried],
            first_ats=[row["first_at"] for _, row in carried],
            relation=incarnations.relation(queue_name),
            now=now,
            window=window,
        )


def take_back(
    namespace: str,
    job_names: Sequence[str],
    *,
    after: datetime,
    now: datetime,
    again: bool = False,
    until: datetime | None = None,
) -> Flow[dict[str, tuple[int, datetime]]]:
    """Take back messages that no reader has seen of these jobs for slots after an instant, from any queue.

    Returns, by job, how many that were and the first slot that is free again.

    :param again: whether the next round shall send the slots again
    :param until: only for slots up to this one
    :raises NotRemoved: deleted messages are still there
    """
    found: dict[str, tuple[int, datetime]] = {}
    if not job_names:
        return found
    params: dict[str, Any] = {"namespace": namespace, "names": list(job_names), "after": after}
    for queue_name in sorted((yield Statement("sent_to", params, decode=column("queue_name")))):
        rows = yield on_queue("take_back", queue_name, list, **params, until=until, now=now, again=again)
        kept = sum(row["taken_back"] for row in rows) - (rows[0]["removed"] if rows else 0)
        if kept:
            raise NotRemoved(queue_name, kept)
        for row in rows:
            count, first_slot = found.get(row["name"], (0, row["first_slot"]))
            found[row["name"]] = (count + row["taken_back"], min(first_slot, row["first_slot"]))
    return found


def jobs_of_queues(namespace: str, queue_names: Collection[str], now: datetime) -> Statement[list[Row]]:
    """By job: whether it `sends` to these queues, its slot `last_sent` there, whether it `waits` for that."""
    params = {"namespace": namespace, "queue_names": sorted(queue_names), "now": now}
    return Statement("jobs_of_queues", params, decode=list)


def still_queued(queue_name: str, last: Mapping[int, str], now: datetime) -> Statement[dict[int, bool]]:
    """Which of these messages (id → key) are still in the queue, and whether a reader has it now."""
    return on_queue(
        "still_queued",
        queue_name,
        lambda rows: {row["msg_id"]: row["is_at_work"] for row in rows},
        msg_ids=list(last),
        keys=list(last.values()),
        now=now,
    )


def definition(namespace: str, name: str) -> Statement[Row | None]:
    """One job's stored definition and state."""
    return Statement("job_definition", {"namespace": namespace, "name": name}, decode=first)


def pause(namespace: str, name: str, first_slot: datetime | None, why: str | None = None) -> Statement[None]:
    """Mark the job as paused; `first_slot` is the first one that was taken back, `why` what a tick says."""
    params = {"namespace": namespace, "name": name, "first_slot": first_slot, "why": why}
    return Statement("pause_job", params)


def slots_to_resend(namespace: str, name: str, until: datetime) -> Statement[list[datetime]]:
    """Slots of a job up to an instant that are to be sent again."""
    params = {"namespace": namespace, "name": name, "until": until}
    return Statement("slots_to_resend", params, decode=column("slot"))


def catch_up(namespace: str, name: str, missed: Sequence[datetime], now: datetime) -> Statement[None]:
    """Let the next tick send these slots of before now, and no others."""
    params = {"namespace": namespace, "name": name, "slots": list(missed), "now": now}
    return Statement("catch_up", params)


def skip_slot(
    namespace: str, name: str, slot: datetime, now: datetime, window: timedelta
) -> Statement[tuple[str, int]]:
    """Leave out a slot; returns the queue and the message of one that was sent before, or an empty name."""
    params = {"namespace": namespace, "name": name, "slot": slot, "now": now, "window": window}
    return Statement("skip_slot", params, decode=lambda rows: (rows[0]["queue_name"], rows[0]["msg_id"]))


def skipped(namespace: str, name: str, until: datetime) -> Statement[list[datetime]]:
    """Slots of a job up to an instant that people left out."""
    params = {"namespace": namespace, "name": name, "until": until}
    return Statement("skipped_slots", params, decode=column("slot"))


def resume(namespace: str, name: str) -> Statement[None]:
    """Mark the job as running."""
    return Statement("resume_job", {"namespace": namespace, "name": name})


def note_repeats(namespace: str, repeats: Sequence[tuple[str, datetime]]) -> Statement[None]:
    """Note slots, as job and instant, that were enqueued again: duplicates."""
    return Statement("note_repeats", {"namespace": namespace, **_columns(repeats)})


def _columns(met: Sequence[tuple[str, datetime]]) -> dict[str, Any]:
    return {"names": [name for name, _ in met], "slots": [slot for _, slot in met]}


def list_jobs(namespace: str | None) -> Statement[list[Row]]:
    """All jobs with their state."""
    return Statement("list_jobs", {"namespace": namespace}, decode=list)
