"""Recognising a queue: whether it is still the one that the ledger and the slots refer to."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from airflow_pgmq.core import incarnations, names
from airflow_pgmq.core.messages import Row
from airflow_pgmq.db.statements import Flow, Statement, first, on_queue, scalar, schema
from airflow_pgmq.errors import QueueNotFound


def relation(queue_name: str) -> str:
    """The queue's table as `to_regclass` reads it."""
    return names.quoted(*names.table(queue_name))


def recognise(queue_names: Iterable[str]) -> Flow[list[str]]:
    """Settle queues that are not the known ones; returns the names of those that are missing."""
    asked = sorted(set(queue_names))
    params = {"queue_names": asked, "relations": [relation(each) for each in asked]}
    found = yield Statement("known_queues", params, decode=list)
    for row in found:
        if row["exists"] and not row["settled"]:
            yield from settle(row["queue_name"])
    return [row["queue_name"] for row in found if not row["exists"]]


def recreated(queue_name: str | None = None) -> Flow[Mapping[str, Row]]:
    """By name, queues that are not the known ones (`settled`), or were found to be others (`recreated_at`).

    A standby answers none, since it cannot look at unlogged tables.
    """
    if (yield Statement("in_recovery", decode=scalar("standby"))):
        return {}
    params = {"queue_name": queue_name, "seconds": incarnations.NEWS.total_seconds()}
    found = yield Statement("recreated_queues", params, decode=list)
    return {row["queue_name"]: row for row in found}


def lock(queue_name: str) -> Statement[None]:
    """Only one transaction at a time settles an incarnation, or frees ids in the archive."""
    return on_queue("mark_lock", queue_name)


def settle(queue_name: str) -> Flow[None]:
    """Find out which queue exists now; from then on, the ledger and the slots refer to it.

    One that is seen for the first time has incarnation 0. A new incarnation frees every key, and every slot
    that was to become visible later: their rows remain, with the number of the old incarnation.

    :raises CodeTooOld: the schema says so
    """
    yield schema.admitted()
    yield lock(queue_name)
    mark: Row | None = yield on_queue(
        "queue_mark", queue_name, first, relation=relation(queue_name), sequence=names.sequence(queue_name)
    )
    if mark is None:
        raise QueueNotFound(queue_name)
    if mark["settled"]:
        return
    recreated = mark["incarnation"] is not None and (yield from _is_recreated(queue_name, mark))
    yield on_queue(
        "keep_mark",
        queue_name,
        relation=relation(queue_name),
        recreated=recreated,
        incarnation=mark["incarnation"],
    )
    if recreated:
        archive = names.quoted(*names.table(queue_name, "a"))
        if (yield Statement("is_readable", {"relation": archive}, decode=scalar("found"))):
            yield pass_archive(queue_name)


def pass_archive(queue_name: str) -> Statement[None]:
    """Let the queue's ids continue after those of its archive, if the role may."""
    return Statement(
        "pass_archive",
        {"sequence": names.sequence(queue_name)},
        {"archive": names.table(queue_name, "a")},
        queue_name=queue_name,
    )


def _is_recreated(queue_name: str, mark: Row) -> Flow[bool]:
    if incarnations.is_same(mark):
        return False
    if not incarnations.may_have_moved(mark):
        return True
    later: bool = yield on_queue(
        "knows_later_ids",
        queue_name,
        scalar("later"),
        incarnation=mark["incarnation"],
        last_id=mark["last_id"],
    )
    return later
