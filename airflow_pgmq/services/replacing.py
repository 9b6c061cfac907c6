"""New definitions of jobs take the place of the stored ones: what is old finishes, and nothing is lost."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from airflow_pgmq.core import slots, stored_jobs
from airflow_pgmq.core.batch import chunks
from airflow_pgmq.core.deploys import Deploy, Stored
from airflow_pgmq.core.job_problems import MAX_JITTER
from airflow_pgmq.core.jobs import PeriodicJob
from airflow_pgmq.core.summary import Summary
from airflow_pgmq.db.statements import Flow, periodic, queues
from airflow_pgmq.services import calendars, tick_rounds
from airflow_pgmq.services.tick_rounds import Rounds

#: Jobs that are registered in one statement, with their definitions.
REGISTERED = 1000


@dataclass(frozen=True)
class Behind:
    """A deploy waits until the old definitions have sent their slots up to an instant."""

    until: datetime


@dataclass(frozen=True, kw_only=True)
class Replacement:
    """How definitions are replaced, under the lock of their namespace."""

    #: The new definitions.
    by_name: Mapping[str, PeriodicJob]
    grace: timedelta
    rounds: Rounds
    now: datetime
    #: Whether all slots that were ever sent are known.
    is_known: bool
    #: Whether the jobs are live ones.
    live: bool = False

    @property
    def namespace(self) -> str:
        """The namespace of the jobs."""
        return self.rounds.namespace

    def run(
        self,
        counts: Summary,
        known: Mapping[str, Stored],
        change: Deploy,
        until: datetime | None,
    ) -> Flow[Behind | None]:
        """Let old definitions finish, take back what new ones send differently, start new ones."""
        now = self.now
        definitions: dict[str, Any] = {}
        to_resend: set[str] = set()
        if change.changed:
            names = [job.name for job in change.changed]
            definitions = yield periodic.stored_definitions(self.namespace, names)
            to_resend = set((yield periodic.jobs_to_resend(self.namespace, now)))
        old = yield from self._unfinished(known, definitions, to_resend, now)
        window = slots.Window(now, until or now, self.grace)
        if (yield from self._finish(counts, known, old, window)):
            return Behind(window.horizon)
        window = replace(window, horizon=now)
        if until is not None:
            # Only a few slots have come due meanwhile.
            yield from self._finish(counts, known, old, window, bounded=False)
        # Jobs whose slots of before cannot be sent stay as they are, so that none is lost.
        change = change.without(counts.failed.keys())
        # If only policies change, messages stay.
        redefined = [job for job in change.changed if job.sends_as(definitions[job.name])]
        same = {job.name for job in redefined}
        changed = [job for job in change.changed if job.name not in same]
        counts.dropped += _missed_in_pauses(
            known, {name: job for name, job in old.items() if name not in same}, window
        )
        yield from self._take_back(counts, change.removed, [job.name for job in changed], now)
        begun = [*change.added, *changed]
        for positions in chunks(range(len(begun)), REGISTERED):
            part = [begun[position] for position in positions]
            yield periodic.upsert_jobs(self.namespace, part, now, live=self.live)
        if redefined:
            yield periodic.redefine_jobs(self.namespace, redefined)
        if change.removed:
            yield periodic.remove_jobs(self.namespace, change.removed)
        return None

    def _unfinished(
        self, known: Mapping[str, Stored], definitions: Mapping[str, Any], to_resend: set[str], now: datetime
    ) -> Flow[dict[str, PeriodicJob]]:
        """Jobs as they were deployed, with slots that are due, or that are to be sent again.

        Without its calendar it is unknown which slots a job had.
        """
        late = {
            name: stored_jobs.replaced(name, definition, self.by_name[name])
            for name, definition in definitions.items()
            if name in to_resend or ((at := known[name].next_slot) is not None and at <= now)
        }
        old = {name: job for name, job in late.items() if job is not None}
        days = yield from calendars.needed(old.values())
        return {name: job.on(days) for name, job in old.items() if job.calendar_names <= days.keys()}

    def _finish(
        self,
        counts: Summary,
        known: Mapping[str, Stored],
        old: Mapping[str, PeriodicJob],
        window: slots.Window,
        *,
        bounded: bool = True,
    ) -> Flow[bool]:
        """Let old definitions send the slots of the time when they were in force; whether there is more."""
        going = {name: job for name, job in old.items() if not known[name].paused}
        if not going:
            return False
        missing = set((yield queues.missing({job.queue_name for job in going.values()})))
        for name, job in going.items():
            if job.queue_name in missing:
                going[name] = replace(job, queue_name=self.by_name[name].queue_name)
        more = yield from self._advance(counts, going, window, bounded)
        if counts.failed:
            # A template fails for a slot: perhaps the new one does not.
            going = {name: _with_message_of(self.by_name[name], going[name]) for name in counts.failed}
            counts.failed.clear()
            more = (yield from self._advance(counts, going, window, bounded)) or more
        return more

    def _advance(
        self,
        counts: Summary,
        going: Mapping[str, PeriodicJob],
        window: slots.Window,
        bounded: bool,
    ) -> Flow[bool]:
        most = yield from self.rounds.advance(
            counts, going, window, is_known=self.is_known, only=sorted(going), bounded=bounded
        )
        return most > 0

    def _take_back(
        self, counts: Summary, removed: Sequence[str], changed: Sequence[str], now: datetime
    ) -> Flow[None]:
        """Take back messages that no reader has seen: all of a removed job, future slots of a changed one."""
        # Jitter can delay the message of a past slot.
        for names, after, again in ((removed, now - MAX_JITTER, False), (changed, now, True)):
            taken_back = yield from periodic.take_back(
                self.namespace, names, after=after, now=now, again=again
            )
            counts.taken_back += sum(count for count, _ in taken_back.values())


def _with_message_of(new: PeriodicJob, old: PeriodicJob) -> PeriodicJob:
    return replace(old, message=new.message, headers=new.headers, params=new.params)


def _missed_in_pauses(
    known: Mapping[str, Stored], old: Mapping[str, PeriodicJob], window: slots.Window
) -> int:
    """Slots of paused jobs that are dropped with their definition; counting ends at a limit."""
    total = 0
    for name, job in old.items():
        if known[name].paused and total < tick_rounds.COMPUTED:
            total += slots.missed(job, known[name].watermark, known[name].next_slot, window.now)
    return total
