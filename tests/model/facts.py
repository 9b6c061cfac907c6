"""The facts of the model: definitions, jobs, slots that are taken, messages."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from tests.model.schedules import Schedule

#: Slots that are left out are counted up to this many.
COUNTED = 1000


class Wrong(AssertionError):
    """The queues do not contain what was promised."""


class Refused(Exception):
    """The step must be refused, and changes nothing."""


@dataclass(frozen=True)
class Definition:
    """What a Dag declares of a job."""

    name: str
    schedule: Schedule
    queue: str
    payload: Mapping[str, Any]
    headers: Mapping[str, Any]
    version: int
    ttl: timedelta | None
    jitter: timedelta
    overlap: str
    catch_up: str
    limit: int
    max_age: timedelta
    pauses: bool = False
    #: A slot whose message is not acked so long after it is overdue.
    expect: timedelta | None = None

    @property
    def expecting(self) -> timedelta | None:
        """The same, where a job may expect that: after jitter, and before the message expires."""
        if self.expect is None:
            return None
        expect = self.expect if self.ttl is None else min(self.expect, self.ttl)
        return expect if expect > self.jitter else None

    def produces(self) -> Definition:
        """What decides its messages and slots: without the policies for those it missed."""
        return replace(self, catch_up="", limit=0, max_age=timedelta(0), expect=None, pauses=False)


@dataclass(frozen=True)
class Message:
    """A message in a queue or its archive."""

    definition: Definition
    slot: datetime
    vt: datetime
    #: Sent by hand, next to the job's slots.
    by_hand: bool = False
    read_ct: int = 0
    #: Requeued from the archive: its slot no longer refers to it.
    requeued: bool = False

    @property
    def key(self) -> tuple[str, datetime, bool]:
        return self.definition.name, self.slot, self.by_hand


#: In a payload, it is sent as the slot's instant.
TEMPLATE = "{{ $ts }}"


def rendered(payload: Mapping[str, Any], slot: datetime) -> dict[str, Any]:
    """The payload as it must be sent."""
    return {name: slot.isoformat() if value == TEMPLATE else value for name, value in payload.items()}


@dataclass(frozen=True)
class Actual:
    """A message as it was found in a queue."""

    queue: str
    msg_id: int
    name: str
    slot: datetime
    by_hand: bool
    vt: datetime
    read_ct: int
    payload: Any
    headers: Mapping[str, Any]
    version: int
    expires_at: datetime | None


@dataclass(frozen=True)
class Job:
    """A job that was deployed."""

    definition: Definition
    #: Slots up to here were decided.
    watermark: datetime
    paused: bool = False
    #: Put at run time; no Dag declares it.
    live: bool = False
    #: Slots up to here are not expected, or were looked at; None: it expects none.
    expected_until: datetime | None = None
    #: Whether a tick has computed its next slot since it was deployed.
    begun: bool = False
    #: Dead letters since then pause it; None: none does.
    since: datetime | None = None


@dataclass(frozen=True)
class Taken:
    """A slot that was sent."""

    queue: str
    visible_at: datetime


@dataclass(frozen=True)
class Letter:
    """A message of a slot that became a dead letter of its queue."""

    queue: str
    name: str
    slot: datetime
    at: datetime


@dataclass
class Counts:
    """What a tick must report. For a slot that is taken the policy need not be known."""

    sent: int = 0
    taken_back: int = 0
    expired: int = 0
    expired_at_most: int = 0
    dropped: int = 0
    dropped_at_most: int = 0

    def differ(self, said: Counts) -> bool:
        """Whether a report is not as promised."""
        return not (
            said.sent == self.sent
            and said.taken_back == self.taken_back
            and self.expired <= said.expired <= self.expired_at_most
            and min(self.dropped, COUNTED) <= said.dropped <= self.dropped_at_most
        )
