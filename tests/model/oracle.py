"""What periodic jobs promise, as a small program that uses nothing of the package.

It keeps only what the promise is about: the jobs, the slots that are taken, the messages in the queues.
Slots are found by brute force; decisions follow the documented rules, one after the other.
Times are instants of UTC; `now` is the time of the queue database's clock.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from copy import copy
from dataclasses import dataclass, field, fields, replace
from datetime import datetime, timedelta
from typing import Any

from tests.model import expecting
from tests.model.expecting import Alert, Told
from tests.model.facts import (
    Actual,
    Counts,
    Definition,
    Job,
    Letter,
    Message,
    Refused,
    Taken,
    Wrong,
    rendered,
)
from tests.model.schedules import between

SECOND = timedelta(seconds=1)
SILENT = timedelta(minutes=5)


@dataclass
class Oracle:
    """The jobs of one namespace and two or more queues."""

    look_ahead: timedelta
    grace: timedelta
    #: Jitter of a slot: any function of the job's name, the slot and the job's jitter.
    spread: Callable[[str, datetime, timedelta], timedelta]
    queues: set[str]
    jobs: dict[str, Job] = field(default_factory=dict)
    version: int | None = None
    version_ticked_at: datetime | None = None
    taken: dict[tuple[str, datetime], Taken] = field(default_factory=dict)
    messages: dict[tuple[str, int], Message] = field(default_factory=dict)
    archives: dict[tuple[str, int], Message] = field(default_factory=dict)
    #: Nobody removes one.
    letters: list[Letter] = field(default_factory=list)
    #: Sent, but not yet found.
    new: list[Message] = field(default_factory=list)
    #: Queues that were made again, which no tick has noticed, and their slots that were not visible.
    recreated: dict[str, set[tuple[str, datetime]]] = field(default_factory=dict)
    #: Slots whose messages were taken back by a deploy, or went with their queue.
    again: set[tuple[str, datetime]] = field(default_factory=set)
    #: The newest version of each live job that there is, or was.
    live_versions: dict[str, int] = field(default_factory=dict)
    #: The horizon of complete ticks.
    horizon: datetime | None = None
    #: Slots that our schema has forgotten: until a tick is complete, queues are asked for their messages.
    lost: set[tuple[str, datetime]] = field(default_factory=set)
    #: When messages were archived.
    archived_at: dict[tuple[str, int], datetime] = field(default_factory=dict)
    #: Slots that were found overdue, and what the last tick told.
    alerts: dict[tuple[str, datetime], Alert] = field(default_factory=dict)
    told: list[Told] = field(default_factory=list)

    def copy(self) -> Oracle:
        """A copy, in which something else may have happened."""
        kept = {each.name: getattr(self, each.name) for each in fields(self)}
        return Oracle(**{name: copy(value) for name, value in kept.items()})

    # -- Ticks.

    def tick(
        self, code: Mapping[str, Definition], now: datetime, *, rollback: bool, tells: bool = True
    ) -> Counts:
        """Tell what is overdue, deploy what changed, then send what is due."""
        counts = Counts()
        expecting.look(self, now)
        self.told = expecting.tell(self, now) if tells else []
        outdated = self.deploy(code, now, counts, rollback=rollback)
        for queue in sorted(self.queues):
            self.pause_dead(queue, outdated, now, counts)
        for name in sorted(self.jobs):
            if name not in outdated and self.jobs[name].definition.queue in self.queues:
                self.send_due(name, now, counts, ahead=self.look_ahead)
        self.close(code, now)
        return counts

    def close(self, code: Mapping[str, Definition], now: datetime) -> None:
        """A tick is complete: from now on our schema is trusted, unless a queue could not be read."""
        queues = [*(each.queue for each in self.declared(code).values()), *self._live_queues()]
        if all(queue in self.queues for queue in queues):
            self.lost.clear()
        self.horizon = max(self.horizon or now, now + self.look_ahead)
        if _version(code) >= (self.version or 0):
            self.version_ticked_at = now

    def deploy(
        self, code: Mapping[str, Definition], now: datetime, counts: Counts, *, rollback: bool
    ) -> set[str]:
        """Change the jobs to the code's; returns those left to newer code, or until their queue is back.

        Names that live jobs hold are theirs.
        """
        declared = {name for name, job in self.jobs.items() if not job.live}
        everything, code = code, self.declared(code)
        held = {name for name, each in code.items() if each.queue not in self.queues}
        version = _version(everything)
        if self.version is None or self.version_ticked_at is None:
            self.version, self.version_ticked_at = version, now
        rollback = rollback and now - self.version_ticked_at >= SILENT
        for queue in {each.queue for each in everything.values()} | {
            job.definition.queue for job in self.jobs.values()
        }:
            self._forget_incarnation(queue)
        self._reset_after_clock_change(now)
        same = {name for name, job in self.jobs.items() if job.definition == code.get(name)}
        if version < self.version and not rollback:
            return ((code.keys() | declared) - same) | held
        # A rollback that leaves jobs alone is not complete.
        is_complete = not held and len(code) == len(everything)
        self.version = version if is_complete else max(version, self.version)
        older = {n for n in code if n in self.jobs and code[n].version < self.jobs[n].definition.version}
        older = set() if rollback else older - same
        for name in declared - code.keys():
            counts.taken_back += len(self._take_back(name, now))
            del self.jobs[name]
            self.alerts = {key: alert for key, alert in self.alerts.items() if key[0] != name}
            self.again = {(of, slot) for of, slot in self.again if of != name}
        for name, definition in code.items():
            if name not in same | older | held:
                self._define(definition, now, counts)
        return older | held

    def _reset_after_clock_change(self, now: datetime) -> None:
        """After the clock was set back, slots beyond the look-ahead are open again."""
        if self.horizon is None or self.horizon <= now + self.look_ahead:
            return
        self.horizon = now
        for name, job in self.jobs.items():
            # For jobs that must not overlap no tick looks ahead.
            if job.watermark > (now if job.definition.overlap != "allow" else now + self.look_ahead):
                self._change(name, watermark=now, begun=False)

    def _define(self, definition: Definition, now: datetime, counts: Counts) -> None:
        """The new definition begins now, and the old one ends."""
        name = definition.name
        old = self.jobs.get(name)
        if old is not None and not old.paused:
            if old.definition.queue not in self.queues:
                self._change(name, definition=replace(old.definition, queue=definition.queue))
            self.send_due(name, now, counts, ahead=timedelta(0))
        until = expecting.until(old, definition, now)
        if old is not None and old.definition.produces() == definition.produces():
            since = _since(old, definition, now)
            self._change(name, definition=definition, expected_until=until, since=since)
            return
        if old is not None and old.paused:
            missed = between(old.definition.schedule, old.watermark, now)
            counts.dropped += sum((name, slot) not in self.taken for slot in missed)
            counts.dropped_at_most += len(missed)
        if old is not None:
            taken_back = self._take_back(name, now, after=now)
            counts.taken_back += len(taken_back)
            self.again |= {(name, slot) for slot in taken_back}
        paused, live = (old.paused, old.live) if old is not None else (False, False)
        self.jobs[name] = Job(
            definition,
            now,
            paused,
            live=live,
            expected_until=until,
            since=_since(old, definition, now),
        )

    def pause_dead(self, queue: str, outdated: set[str], now: datetime, counts: Counts) -> None:
        """Pause jobs of a queue that ask for it, if a message of a slot has become a dead letter since."""
        for name, job in list(self.jobs.items()):
            if job.paused or job.since is None or job.definition.queue != queue or name in outdated:
                continue
            if any((each.queue, each.name) == (queue, name) and each.at > job.since for each in self.letters):
                counts.taken_back += self.pause(name, now)

    def send_due(self, name: str, now: datetime, counts: Counts, *, ahead: timedelta) -> None:
        """Send a job's slots up to now + ahead; past ones by its policies."""
        job = self.jobs[name]
        if job.paused:
            return
        each = job.definition
        horizon = now if each.overlap != "allow" else now + ahead
        slots = between(each.schedule, job.watermark, horizon)
        chosen = [*_caught_up(each, slots, now, self.grace), *(slot for slot in slots if slot > now)]
        # What was taken back, or lost with its queue, is sent again, whatever the job does with missed slots.
        to_resend = {slot for of, slot in self.again if of == name and slot <= horizon}
        self.again -= {(name, slot) for slot in to_resend}
        to_resend = {slot for slot in to_resend if between(each.schedule, slot - SECOND, slot)}
        slots = sorted({*slots, *to_resend})
        chosen = sorted({*chosen, *(slot for slot in to_resend if slot > now - each.max_age)})
        if each.overlap != "allow":
            chosen = [] if self._busy(name, now) else chosen[-1:]
        left_out = [slot for slot in slots if slot not in chosen]
        counts.dropped += sum((name, slot) not in self.taken for slot in left_out)
        counts.dropped_at_most += len(left_out)
        for slot in chosen:
            self._send(each, slot, now, counts)
        self._change(name, watermark=max(job.watermark, horizon), begun=True)

    def _send(self, definition: Definition, slot: datetime, now: datetime, counts: Counts) -> None:
        key = definition.name, slot
        visible_at = slot + self.spread(definition.name, slot, definition.jitter)
        assert slot <= visible_at <= slot + definition.jitter
        if definition.ttl is not None and slot + definition.ttl <= max(visible_at, now):
            counts.expired += key not in self.taken
            counts.expired_at_most += 1
            return
        if key in self.taken:
            return
        if key in self.lost and self._is_carried(definition, slot):
            return
        counts.sent += 1
        self.taken[key] = Taken(definition.queue, visible_at)
        self.new.append(Message(definition, slot, visible_at))

    def _busy(self, name: str, now: datetime) -> bool:
        """Whether the message of the job's newest slot is still in its queue."""
        slot = max((slot for of, slot in self.taken if of == name and slot <= now), default=None)
        if slot is None or (at := self.find(name, slot)) is None:
            return False
        message = self.messages[at]
        is_at_work = message.read_ct > 0 and message.vt > now
        return self.jobs[name].definition.overlap == "skip" or not is_at_work

    def find(self, name: str, slot: datetime) -> tuple[str, int] | None:
        """The message of a slot, where it was sent."""
        for (queue, msg_id), message in self.messages.items():
            if message.key == (name, slot, False) and not message.requeued:
                return (queue, msg_id) if self.taken[name, slot].queue == queue else None
        return None

    def _take_back(self, name: str, now: datetime, after: datetime | None = None) -> list[datetime]:
        """Remove messages that nobody could have seen, and free their slots."""
        found = []
        for of, slot in sorted(self.taken):
            if of == name and (after is None or slot > after) and (at := self.find(name, slot)):
                message = self.messages[at]
                if message.read_ct == 0 and message.vt > now:
                    found.append(slot)
                    del self.messages[at], self.taken[name, slot]
        return found

    def backfill(
        self, code: Mapping[str, Definition], start: datetime, end: datetime, now: datetime
    ) -> Counts:
        """Send the slots of [start, end) that were not sent; no watermark moves."""
        live = {name: job.definition for name, job in self.jobs.items() if job.live}
        code = {**self.declared(code), **live}
        if any(each.queue not in self.queues for each in code.values()):
            raise Refused("a queue is missing")
        expecting.look(self, now)
        counts = Counts()
        for name, each in code.items():
            if not (name in self.jobs and self.jobs[name].paused):
                for slot in between(each.schedule, start - SECOND, end - SECOND):
                    self._send(each, slot, now, counts)
        return counts

    # -- What people do to jobs.

    def declared(self, code: Mapping[str, Definition]) -> dict[str, Definition]:
        """The code's jobs without those whose names live jobs hold."""
        return {n: each for n, each in code.items() if not (n in self.jobs and self.jobs[n].live)}

    def _live_queues(self) -> list[str]:
        return [job.definition.queue for job in self.jobs.values() if job.live]

    def put(self, definition: Definition, now: datetime) -> int:
        """Make a live job, or change it, at once; returns its version."""
        name = definition.name
        old = self.jobs.get(name)
        if old is not None and not old.live:
            raise Refused("a Dag declares it")
        if definition.queue not in self.queues:
            raise Refused("its queue is missing")
        self.horizon = max(self.horizon or now, now + self.look_ahead)
        newest = self.live_versions.get(name, 0)
        definition = replace(definition, version=newest + (old is None))
        if old is not None and old.definition == definition:
            return newest
        definition = replace(definition, version=newest + 1)
        self.live_versions[name] = newest + 1
        self._define(definition, now, Counts())
        self._change(name, live=True)
        return newest + 1

    def delete(self, name: str, now: datetime) -> int:
        """Delete a live job, and take back messages that nobody could have seen."""
        if not self._job(name).live:
            raise Refused("a Dag declares it")
        taken_back = self._take_back(name, now)
        del self.jobs[name]
        self.live_versions[name] += 1
        self.again = {(of, slot) for of, slot in self.again if of != name}
        return len(taken_back)

    def pause(self, name: str, now: datetime) -> int:
        """Stop a job, and take back messages that nobody could have seen."""
        job = self._job(name)
        taken_back = self._take_back(name, now)
        back = min([job.watermark, *(slot - timedelta(microseconds=1) for slot in taken_back)])
        self._change(name, watermark=back, paused=True, begun=job.begun or bool(taken_back))
        return len(taken_back)

    def resume(self, name: str, now: datetime) -> None:
        """Resume a job: its next tick catches up, and what became a dead letter before is forgiven."""
        job = self._job(name)
        self._change(name, paused=False, since=now if job.paused and job.since else job.since)

    def run_now(self, name: str, now: datetime) -> None:
        """One more message, at once."""
        definition = self._job(name).definition
        if definition.queue not in self.queues:
            raise Refused("its queue is missing")
        self.new.append(Message(definition, now, now, by_hand=True))

    def _change(self, name: str, **changes: Any) -> None:
        self.jobs[name] = replace(self.jobs[name], **changes)

    def _job(self, name: str) -> Job:
        if name not in self.jobs:
            raise Refused("no such job")
        return self.jobs[name]

    # -- What consumers and others do to messages.

    def visible(self, queue: str, now: datetime) -> list[int]:
        """The messages that a read may return, in order."""
        return sorted(i for (of, i), message in self.messages.items() if of == queue and message.vt <= now)

    def read(self, queue: str, msg_ids: Iterable[int], until: datetime) -> None:
        """A reader holds them until this instant."""
        for msg_id in msg_ids:
            message = self.messages[queue, msg_id]
            self.messages[queue, msg_id] = replace(message, read_ct=message.read_ct + 1, vt=until)

    def set_vt(self, queue: str, msg_id: int, vt: datetime) -> None:
        """Release, extend, or show before its time."""
        self.messages[queue, msg_id] = replace(self.messages[queue, msg_id], vt=vt)

    def gone(self, queue: str, msg_id: int, archived_at: datetime | None) -> None:
        """Acked or cancelled: its slot stays taken."""
        message = self.messages.pop((queue, msg_id))
        if archived_at is not None:
            self.archives[queue, msg_id] = message
            self.archived_at[queue, msg_id] = archived_at

    def bury(self, queue: str, msg_id: int, now: datetime) -> None:
        """It becomes a dead letter: its slot stays taken."""
        message = self.messages.pop((queue, msg_id))
        if not message.by_hand:
            self.letters.append(Letter(queue, message.definition.name, message.slot, now))

    def requeue(self, queue: str, msg_id: int, new_id: int, now: datetime) -> None:
        """From the archive back into its queue, as a new message."""
        message = self.archives.pop((queue, msg_id))
        self.messages[queue, new_id] = replace(message, vt=now, read_ct=0, requeued=True)

    def purge(self, queue: str) -> None:
        """Every message of a queue is gone; the slots stay taken."""
        self.messages = {at: message for at, message in self.messages.items() if at[0] != queue}

    # -- What happens to queues and to our schema.

    def drop(self, queue: str) -> None:
        """Others drop a queue with its archive."""
        self.purge(queue)
        self.archives = {at: message for at, message in self.archives.items() if at[0] != queue}
        self.queues.discard(queue)

    def create(self, queue: str, now: datetime) -> None:
        """Others make a queue, maybe again: slots that were not visible yet must be sent again."""
        self.queues.add(queue)
        self.recreated[queue] = {
            slot for slot, taken in self.taken.items() if taken.queue == queue and taken.visible_at > now
        }

    def _forget_incarnation(self, queue: str) -> None:
        """Slots that were not visible when a queue was made again are free, and must be sent again."""
        if queue in self.queues:
            for slot in self.recreated.pop(queue, ()):
                del self.taken[slot]
                self.again.add(slot)

    def lose_schema(self) -> None:
        """Our schema is dropped: only the content of the queues is known."""
        self.lost |= self.taken.keys()
        self.jobs.clear()
        self.taken.clear()
        self.recreated.clear()
        self.again.clear()
        self.live_versions.clear()
        self.alerts.clear()
        self.version = self.version_ticked_at = self.horizon = None

    def _is_carried(self, definition: Definition, slot: datetime) -> bool:
        """Whether its queue still has the message of a slot that our schema forgot: then it is taken."""
        self.lost.discard((definition.name, slot))
        for (queue, _), message in self.messages.items():
            if queue == definition.queue and message.key == (definition.name, slot, False):
                self.taken[definition.name, slot] = Taken(queue, message.vt)
                return True
        return False

    # -- Whether it is so.

    def match(self, found: Sequence[Actual]) -> None:
        """Find every message that must be there, none that must not; raises Wrong."""
        actual = {(each.queue, each.msg_id): each for each in found}
        for at, message in self.messages.items():
            if at not in actual:
                raise Wrong(f"lost: {message} of {at}")
            _compare(message, actual[at])
        self.match_new([each for at, each in actual.items() if at not in self.messages])

    def match_new(self, found: Sequence[Actual]) -> None:
        """The same of messages that were not there before."""
        for each in found:
            self.messages[each.queue, each.msg_id] = self._expected(each)
        if self.new:
            raise Wrong(f"not sent: {self.new}")

    def _expected(self, each: Actual) -> Message:
        for position, message in enumerate(self.new):
            if message.key == (each.name, each.slot, each.by_hand) and message.definition.queue == each.queue:
                _compare(message, each)
                return self.new.pop(position)
        raise Wrong(f"nobody asked for {each}")


def _since(old: Job | None, definition: Definition, now: datetime) -> datetime | None:
    """Since when dead letters count: since the deploy that asked for it, or the resume after it."""
    if not definition.pauses:
        return None
    return now if old is None or old.since is None else old.since


def _version(code: Mapping[str, Definition]) -> int:
    return max((each.version for each in code.values()), default=0)


def _caught_up(
    job: Definition, slots: Sequence[datetime], now: datetime, grace: timedelta
) -> Sequence[datetime]:
    """Of the past slots: those within the grace, and of the others those that the policy sends."""
    on_time = [slot for slot in slots if now - grace < slot <= now]
    missed = [slot for slot in slots if slot <= now - grace]
    if job.catch_up == "all":
        recent = [slot for slot in missed if slot > now - job.max_age]
        return recent[max(0, len(recent) + len(on_time) - job.limit) :] + on_time
    if job.catch_up == "last" and not on_time:
        return [slot for slot in missed if slot > now - job.max_age][-1:]
    return on_time


def _compare(message: Message, each: Actual) -> None:
    definition = message.definition
    promised = {
        "payload": (rendered(definition.payload, message.slot), each.payload),
        "headers": (definition.headers, each.headers),
        "version": (definition.version, each.version),
        "expires_at": (definition.ttl and message.slot + definition.ttl, each.expires_at),
        "read_ct": (message.read_ct, each.read_ct),
        "vt": (message.vt, each.vt),
    }
    for what, (wanted, is_) in promised.items():
        if wanted != is_:
            raise Wrong(f"{what} must be {wanted}, not {is_}: {each}")
