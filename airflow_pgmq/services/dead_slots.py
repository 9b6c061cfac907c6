"""Pauses jobs that ask for it once messages of their slots became dead letters."""

from __future__ import annotations

from collections.abc import Collection

from airflow_pgmq.core.dead_slots import DeadSlots
from airflow_pgmq.core.job_problems import MAX_JITTER
from airflow_pgmq.db.statements import Flow, dead_slots, periodic


def find(namespace: str) -> Flow[tuple[list[DeadSlots], list[str]]]:
    """Jobs that are to be paused, and the dead letter queues that this role may not read."""
    rows = yield dead_slots.found(namespace)
    unreadable = [row["dead_letter_queue"] for row in rows if row["name"] is None]
    return [DeadSlots(**row) for row in rows if row["name"] is not None], unreadable


def pause(namespace: str, names: Collection[str]) -> Flow[tuple[list[DeadSlots], int]]:
    """Pause those of these jobs that have dead letters, as `job_control.pause` does, and say why.

    Returns them, and how many messages were taken back.
    """
    locked = yield periodic.lock_namespace(namespace)
    # Again, under the lock: somebody may have resumed one meanwhile.
    found, _ = yield from find(namespace)
    dead = [each for each in found if each.name in names]
    if locked is None or not dead:
        return [], 0
    now = locked["now"]
    taken_back = yield from periodic.take_back(
        namespace, [each.name for each in dead], after=now - MAX_JITTER, now=now
    )
    for each in dead:
        _, first_slot = taken_back.get(each.name, (0, None))
        yield periodic.pause(namespace, each.name, first_slot, str(each))
    return dead, sum(count for count, _ in taken_back.values())
