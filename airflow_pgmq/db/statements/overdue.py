"""Slots that did not happen in time, and who tells of them."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

from airflow_pgmq.core.messages import Row
from airflow_pgmq.core.overdue import OverdueSlot
from airflow_pgmq.db.statements import Statement, many, scalar

#: For this long, who took an alert may try to give it; then another one does.
LEASE = timedelta(minutes=5)
#: So many alerts are given in one run.
ALERTS = 100

_slots = many(lambda row: OverdueSlot(**row))


def overdue(namespace: str | None) -> Statement[list[OverdueSlot]]:
    """The slots that are overdue now, of one namespace or of all, the oldest first."""
    return Statement("overdue", {"namespace": namespace}, decode=_slots)


def silent(max_age: timedelta) -> Statement[list[Row]]:
    """Each `namespace` with jobs that are not paused that was not ticked for so long, and its `ticked_at`."""
    return Statement("silent_namespaces", {"max_age": max_age}, decode=list)


def is_expecting(namespace: str | None) -> Statement[bool]:
    """Whether a job of the namespace, or of any, is to tell when a slot did not happen."""
    return Statement("is_expecting", {"namespace": namespace}, decode=scalar("expecting"))


def mark(namespace: str | None) -> Statement[list[OverdueSlot]]:
    """Note what is overdue, and what no longer is; returns both what is and what was acked too late."""
    return Statement("mark_overdue", {"namespace": namespace}, decode=_slots)


def note_expected(
    namespace: str, now: datetime, unknown: Sequence[OverdueSlot], *, exactly: bool
) -> Statement[None]:
    """Note how far slots were looked at; those of `unknown` could not be, and are looked at again.

    :param exactly: of each job; otherwise of those whose slots it may matter for, which is cheaper
    """
    params = {"names": [each.name for each in unknown], "slots": [each.slot for each in unknown]}
    return Statement("note_expected", {"namespace": namespace, "now": now, "exactly": exactly, **params})


def claim(namespace: str | None) -> Statement[list[OverdueSlot]]:
    """Take alerts to give."""
    params = {"namespace": namespace, "lease": LEASE, "limit": ALERTS}
    return Statement("claim_alerts", params, decode=_slots)


def given(alert: OverdueSlot) -> Statement[None]:
    """Note that the alert was given."""
    return Statement("alert_given", {"namespace": alert.namespace, "name": alert.name, "slot": alert.slot})
