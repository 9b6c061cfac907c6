"""What is promised of slots that do not happen in time, as a part of the oracle."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, NamedTuple

from tests.model.facts import Definition, Job, Wrong
from tests.model.schedules import DAY, between

if TYPE_CHECKING:
    from tests.model.oracle import Oracle

INSTANT = timedelta(microseconds=1)
#: Told, and over at once.
OVER = ("late", "expired")


class Told(NamedTuple):
    """A slot that is overdue, and what has become of it."""

    name: str
    slot: datetime
    state: str


@dataclass(frozen=True)
class Alert:
    """A slot that was found overdue."""

    state: str
    found_at: datetime
    over_at: datetime | None = None
    #: Whether somebody is still to be told.
    owed: bool = True


def until(old: Job | None, definition: Definition, now: datetime) -> datetime | None:
    """A job expects the slots from the deploy on that made it expect any."""
    if definition.expecting is None:
        return None
    return (old and old.expected_until) or now


def look(oracle: Oracle, now: datetime) -> None:
    """Note what is overdue, what no longer is, and how far slots were looked at."""
    if not any(job.definition.expecting for job in oracle.jobs.values()):
        return
    found = overdue(oracle, now)
    for each in found:
        key = each.name, each.slot
        over_at = now if each.state in OVER else None
        oracle.alerts.setdefault(key, Alert(each.state, now, over_at))
    listed = {(each.name, each.slot) for each in found if each.state not in OVER}
    for key, alert in list(oracle.alerts.items()):
        if alert.over_at is None and key not in listed:
            oracle.alerts[key] = replace(alert, over_at=now)
        elif alert.over_at is not None and alert.over_at < now - 7 * DAY:
            del oracle.alerts[key]
    for name, job in list(oracle.jobs.items()):
        expect, seen = job.definition.expecting, job.expected_until
        if expect is not None and seen is not None:
            unsent = [] if job.paused else between(job.definition.schedule, job.watermark, now - expect)
            done = min([now - expect, *(slot - INSTANT for slot in unsent[:1])])
            oracle.jobs[name] = replace(job, expected_until=max(seen, done))


def tell(oracle: Oracle, now: datetime) -> list[Told]:
    """Who ticks is told what is owed, and not older than a day."""
    told = []
    for (name, slot), alert in list(oracle.alerts.items()):
        if alert.owed and now - DAY < alert.found_at <= now:
            told.append(Told(name, slot, alert.state))
            oracle.alerts[name, slot] = replace(alert, owed=False)
    return told


def match(oracle: Oracle, listed: Sequence[Told], now: datetime) -> None:
    """The view lists what is overdue, and nothing else; raises Wrong."""
    promised = [each for each in overdue(oracle, now) if each.state not in OVER]
    if sorted(promised) != sorted(listed):
        raise Wrong(f"overdue are {sorted(promised)}, listed {sorted(listed)}")


def overdue(oracle: Oracle, now: datetime) -> list[Told]:
    """Every slot that is overdue, and those whose message left the queue too late, unless they are known."""
    found = []
    for name, job in oracle.jobs.items():
        expect = job.definition.expecting
        if expect is None:
            continue
        for slot in _asked(oracle, name, job, now - expect):
            state = _state(oracle, name, slot, job, now)
            if state is not None:
                found.append(Told(name, slot, state))
    return found


def _asked(oracle: Oracle, name: str, job: Job, until: datetime) -> set[datetime]:
    """Slots that were found before and are not over, and those whose time came since the last look."""
    known = {slot for of, slot in oracle.alerts if of == name}
    open_ = {slot for slot in known if oracle.alerts[name, slot].over_at is None}
    since = job.expected_until or until
    sent = {slot for of, slot in (*oracle.taken, *oracle.again) if of == name}
    first = between(job.definition.schedule, job.watermark, until)[:1]
    # Which slots a job missed after its next one is only known when a tick computes them.
    new = sent | (set(first) if job.begun and not job.paused else set())
    return open_ | {slot for slot in new - known if since < slot <= until}


def _state(oracle: Oracle, name: str, slot: datetime, job: Job, now: datetime) -> str | None:
    """What has become of a slot whose time is over; None: nobody needs to be told."""
    if (name, slot) in oracle.taken:
        at = oracle.find(name, slot)
        if at is not None:
            message = oracle.messages[at]
            return "in_flight" if message.read_ct > 0 and message.vt > now else "waiting"
        return _left(oracle, name, slot, job)
    if job.paused:
        return None
    if (name, slot) in oracle.again:
        return "not_sent"
    first = between(job.definition.schedule, job.watermark, slot)[:1]
    return "not_sent" if job.begun and first else None


def _left(oracle: Oracle, name: str, slot: datetime, job: Job) -> str | None:
    """Whether a message left its queue too late, or is a dead letter: only the archive tells, and those."""
    expect, ttl = job.definition.expecting, job.definition.ttl
    for (queue, msg_id), message in oracle.archives.items():
        if message.key == (name, slot, False) and queue == oracle.taken[name, slot].queue:
            if message.requeued:
                continue
            archived_at = oracle.archived_at[queue, msg_id]
            assert expect is not None
            if archived_at <= slot + expect:
                return None
            return "expired" if ttl is not None and archived_at >= slot + ttl else "late"
    is_dead = any(
        (each.queue, each.name, each.slot) == (oracle.taken[name, slot].queue, name, slot)
        for each in oracle.letters
    )
    return "dead" if is_dead else None
