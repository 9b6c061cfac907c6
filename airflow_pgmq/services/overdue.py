"""Looks for slots that did not happen in time, and tells of each once.

What is found is noted with an alert that is owed. Who has somebody to tell takes the alert, in the same
transaction, tells, and notes it as given. If the process dies in between, the next one tells again after some
minutes: at least once, and once if nobody dies.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TypeAlias

from airflow_pgmq.core.overdue import OverdueSlot
from airflow_pgmq.db.client import Client, Connection, DriverError
from airflow_pgmq.db.statements import Flow, overdue, periodic
from airflow_pgmq.errors import PgmqError

#: Tells of a slot; whether anybody was told.
Tell: TypeAlias = Callable[[OverdueSlot], bool]

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Found:
    """What a look found."""

    #: Overdue now, the oldest first.
    slots: Sequence[OverdueSlot] = ()
    #: Those of queues that cannot be looked into.
    unknown: Sequence[OverdueSlot] = ()
    #: To be told now, by who has looked.
    alerts: Sequence[OverdueSlot] = ()


def find(namespace: str, *, tells: bool, exactly: bool = False) -> Flow[Found]:
    """Look at the slots of a namespace, and note how far they were looked at.

    :param tells: whether the caller gives alerts
    :param exactly: slots of before that are sent from now on are not expected
    """
    locked = yield periodic.lock_namespace(namespace)
    if locked is None:
        return Found()
    seen = yield overdue.mark(namespace)
    found = _found(seen, (yield overdue.claim(namespace)) if tells else [])
    yield overdue.note_expected(namespace, locked["now"], found.unknown, exactly=exactly)
    return found


def find_all(*, tells: bool) -> Flow[Found]:
    """Look at the slots of all namespaces, without what only a tick may write."""
    if not (yield overdue.is_expecting(None)):
        return Found()
    seen = yield overdue.mark(None)
    return _found(seen, (yield overdue.claim(None)) if tells else [])


def _found(seen: Sequence[OverdueSlot], claimed: Sequence[OverdueSlot]) -> Found:
    return Found(
        [each for each in seen if each.state not in ("late", "expired", "unknown")],
        [each for each in seen if each.state == "unknown"],
        sorted(claimed, key=lambda each: (each.expected_at, each.namespace, each.name, each.slot)),
    )


def give(client: Client, conn: Connection, alerts: Sequence[OverdueSlot], tell: Tell) -> None:
    """Tell of these slots. An alert that nobody took, or that cannot be noted, is given again later."""
    for each in alerts:
        if not tell(each):
            continue
        try:
            client.attempt(partial(overdue.given, each), conn)
        except (PgmqError, DriverError) as exc:
            _log.warning("Not noted as told, so it will be told again: %s %s", each, exc)
