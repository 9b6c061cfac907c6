"""The package's pure decisions run the same stories, with dictionaries instead of the database.

What is due, what a deploy changes, what has expired and when a message is visible come from `core/`. Only
the order of the statements of a tick is repeated here.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import lru_cache, singledispatchmethod
from typing import Any

from airflow_pgmq.core import deploys, slot_messages, slots, stored_jobs
from airflow_pgmq.core.deploys import Stored
from airflow_pgmq.core.job_problems import MAX_JITTER
from airflow_pgmq.core.jobs import PeriodicJob
from airflow_pgmq.core.slot_messages import Outgoing
from tests.fixtures.dollars import Dollars
from tests.model import steps
from tests.model.facts import Actual, Counts, Definition, Refused, Wrong
from tests.model.oracle import Oracle
from tests.model.world import NAMESPACE, job_of, spread

EARLIER = timedelta(microseconds=1)


@dataclass(frozen=True)
class State:
    """A job's row."""

    job: PeriodicJob
    watermark: datetime
    next_slot: datetime | None
    paused: bool = False

    def stored(self) -> Stored:
        return Stored(
            self.job.name,
            self.job.version,
            self.job.fingerprint,
            self.job.queue_name,
            self.watermark,
            self.next_slot,
            self.paused,
        )


class CoreWorld:
    """Jobs, slots and messages in memory, and the oracle."""

    def __init__(self, story: steps.Story) -> None:
        self.story = story
        self.now = steps.STARTS[story.start]
        self.codes = [{name: steps.first_definition(name) for name in steps.NAMES} for _ in range(2)]
        self.oracle = Oracle(story.look_ahead, story.grace, spread, set(steps.QUEUES))
        self.version = 0
        self.version_ticked_at = self.horizon = self.now
        self.states: dict[str, State] = {}
        self.sent: dict[tuple[str, datetime], int] = {}
        self.messages: dict[int, Outgoing] = {}
        self.ids = 0
        #: Slots that deploys took back and that are to be sent again.
        self.to_resend: set[tuple[str, datetime]] = set()

    def run(self) -> None:
        """Run the story; raises Wrong at the first step after which something is not as promised."""
        for number, step in enumerate(self.story.steps):
            steps.told["on the pure decisions"] += 1
            try:
                self.do(step)
            except Wrong as wrong:
                raise Wrong(f"step {number}, {step}, at {self.now}: {wrong}") from None

    # -- Steps.

    @singledispatchmethod
    def do(self, step: Any) -> None:
        """Do a step; steps of messages and queues are ignored here."""

    @do.register
    def _(self, step: steps.Move) -> None:
        self.now += step.by

    @do.register
    def _(self, step: steps.Deploy) -> None:
        steps.edit(self.codes[step.code], step)
        self.do(steps.Tick(step.code))

    @do.register
    def _(self, step: steps.Tick) -> None:
        code = self.codes[step.code]
        counts = self._tick({name: _job(name, each) for name, each in code.items()}, step.rollback)
        self._same(counts, self.oracle.tick(code, self.now, rollback=step.rollback))

    @do.register
    def _(self, step: steps.Backfill) -> None:
        code, start, counts = self.codes[step.code], self.now + step.since, Counts()
        for name, each in code.items():
            if not (name in self.states and self.states[name].paused):
                job = _job(name, each)
                self._send(job, slots.between(job, start, start + step.length), counts)
        self._same(counts, self.oracle.backfill(code, start, start + step.length, self.now))

    @do.register
    def _(self, step: steps.Pause) -> None:
        try:
            promised = self.oracle.pause(step.name, self.now)
        except Refused:
            return
        taken_back = self._take_back(step.name, self.now - MAX_JITTER)
        state = self.states[step.name]
        back = min([state.watermark, *(slot - EARLIER for slot in taken_back)])
        following = min((slot for slot in (*taken_back, state.next_slot) if slot), default=None)
        self.states[step.name] = replace(state, watermark=back, next_slot=following, paused=True)
        self._same(Counts(taken_back=len(taken_back)), Counts(taken_back=promised))

    @do.register
    def _(self, step: steps.Resume) -> None:
        if step.name in self.states:
            self.oracle.resume(step.name, self.now)
            self.states[step.name] = replace(self.states[step.name], paused=False)

    # -- What a tick does.

    def _tick(self, declared: Mapping[str, PeriodicJob], rollback: bool) -> Counts:
        counts = Counts()
        version = max((job.version for job in declared.values()), default=0)
        if not self.sent and not self.states:
            self.version = version
        horizon = self.now + self.story.look_ahead
        self._reset_after_clock_change(horizon)
        rollback = rollback and self.now - self.version_ticked_at >= timedelta(minutes=5)
        known = {name: state.stored() for name, state in self.states.items()}
        change = deploys.deploy(
            declared, known, version=version, stored_version=self.version, rollback=rollback
        )
        for job in change.changed:
            self._replace(job, counts)
        for name in change.removed:
            counts.taken_back += len(self._take_back(name, self.now - MAX_JITTER))
            del self.states[name]
            self.to_resend = {(of, slot) for of, slot in self.to_resend if of != name}
        for job in change.added:
            self.states[job.name] = State(job, self.now, self.now)
        if version >= self.version or rollback:
            self.version = version
        for name in self.states.keys() - change.outdated:
            self._advance(name, horizon, counts)
        if version >= self.version:
            self.version_ticked_at = self.now
        self.horizon = max(self.horizon, horizon)
        return counts

    def _reset_after_clock_change(self, horizon: datetime) -> None:
        if self.horizon > horizon:
            for name, state in self.states.items():
                furthest = self.now if state.job.overlap != "allow" else horizon
                if max(state.watermark, (state.next_slot or state.watermark) - EARLIER) > furthest:
                    self.states[name] = replace(state, watermark=self.now, next_slot=self.now)
            self.horizon = self.now

    def _replace(self, job: PeriodicJob, counts: Counts) -> None:
        state = self.states[job.name]
        old = stored_jobs.replaced(job.name, _definition(state.job), job)
        if old is None or old.fingerprint != state.job.fingerprint:
            raise Wrong(f"not read as it was stored: {state.job}")
        if not state.paused:
            self._advance(job.name, self.now, counts)
        if job.sends_as(json.loads(old.definition_json)):
            self.states[job.name] = replace(self.states[job.name], job=job)
            return
        if state.paused:
            counts.dropped += slots.missed(old, state.watermark, state.next_slot, self.now)
        taken_back = self._take_back(job.name, self.now)
        counts.taken_back += len(taken_back)
        self.to_resend |= {(job.name, slot) for slot in taken_back}
        self.states[job.name] = State(job, self.now, self.now, state.paused)

    def _window(self, horizon: datetime) -> slots.Window:
        return slots.Window(self.now, horizon, self.story.grace)

    def _advance(self, name: str, horizon: datetime, counts: Counts) -> None:
        state = self.states[name]
        furthest = self.now if state.job.overlap != "allow" else horizon
        to_resend = sorted(slot for of, slot in self.to_resend if of == name and slot <= furthest)
        if state.paused or not (to_resend or (state.next_slot is not None and state.next_slot <= furthest)):
            return
        self.to_resend -= {(name, slot) for slot in to_resend}
        due = slots.due(state.job, state.watermark, state.next_slot, self._window(horizon), to_resend)
        wanted = due.slots
        newest = max((slot for of, slot in self.sent if of == name and slot <= self.now), default=None)
        if state.job.overlap != "allow" and newest is not None and self.sent[name, newest] in self.messages:
            counts.dropped += len(wanted)
            wanted = []
        counts.dropped += due.dropped
        self._send(state.job, wanted, counts)
        self.states[name] = replace(state, watermark=due.watermark, next_slot=due.next_slot)

    def _send(self, job: PeriodicJob, wanted: Any, counts: Counts) -> None:
        for slot in wanted:
            item = slot_messages.outgoing(job, slot, NAMESPACE, None, Dollars())
            if (job.name, slot) in self.sent:
                continue
            if item.is_expired(self.now):
                counts.expired += 1
                continue
            counts.sent += 1
            self.ids += 1
            self.sent[job.name, slot] = self.ids
            self.messages[self.ids] = item

    def _take_back(self, name: str, after: datetime) -> list[datetime]:
        found = [
            slot
            for (of, slot), msg_id in self.sent.items()
            if of == name and slot > after and msg_id in self.messages
            if self.messages[msg_id].visible_at > self.now
        ]
        for slot in found:
            del self.messages[self.sent.pop((name, slot))]
        return found

    # -- The comparison.

    def _same(self, counts: Counts, promised: Counts) -> None:
        if promised.differ(counts):
            raise Wrong(f"counted {counts}, promised {promised}")
        known = {msg_id for _, msg_id in self.oracle.messages}
        gone = known - self.messages.keys()
        if gone:
            raise Wrong(f"lost: {gone}")
        new = [_actual(msg_id, self.messages[msg_id]) for msg_id in self.messages.keys() - known]
        self.oracle.match_new(new)


@lru_cache(maxsize=4096)
def _cached(definition: Any) -> PeriodicJob:
    return job_of(definition.value)


class _ById:
    """A definition as a key of a dictionary: its content cannot be hashed."""

    __slots__ = ("value",)

    def __init__(self, value: Definition) -> None:
        self.value = value

    def __hash__(self) -> int:
        return hash((self.value.name, self.value.schedule, self.value.queue, self.value.jitter))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _ById) and self.value == other.value


def _job(name: str, definition: Definition) -> PeriodicJob:
    assert name == definition.name
    return _cached(_ById(definition))


def _definition(job: PeriodicJob) -> Any:
    return json.loads(job.definition_json)


def _actual(msg_id: int, item: Outgoing) -> Actual:
    headers = json.loads(item.headers)
    ours = {
        name: headers.pop(name, None)
        for name in ("job", "namespace", "slot", "version", "dedup_key", "expires_at")
    }
    if ours["dedup_key"] != item.key or ours["namespace"] != NAMESPACE:
        raise Wrong(f"headers: {item}")
    return Actual(
        item.job.queue_name,
        msg_id,
        ours["job"],
        datetime.fromisoformat(ours["slot"].replace("Z", "+00:00")),
        False,
        item.visible_at,
        0,
        json.loads(item.message),
        headers,
        ours["version"],
        ours["expires_at"] and datetime.fromisoformat(ours["expires_at"]),
    )
