"""The first step of a tick: the stored jobs are made the same as the code's, in one transaction."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from airflow_pgmq.core import deploys, jobs, slots
from airflow_pgmq.core.batch import chunks
from airflow_pgmq.core.deploys import Deploy, Stored
from airflow_pgmq.core.job_problems import MAX_JITTER
from airflow_pgmq.core.jobs import PeriodicJob
from airflow_pgmq.core.messages import Row
from airflow_pgmq.core.summary import Summary
from airflow_pgmq.db.statements import Flow, periodic, queues
from airflow_pgmq.errors import NamespaceTaken
from airflow_pgmq.services import calendars, tick_rounds
from airflow_pgmq.services.tick_rounds import Rounds

#: A namespace whose owner has been silent for this long may be taken over, for example after a rename.
SILENT = timedelta(minutes=5)


@dataclass(frozen=True)
class Deployed:
    """What the rounds of a tick need to know of its deploy."""

    #: Slots up to here are enqueued.
    horizon: datetime
    #: The fingerprint of the jobs in force; when it changes, another tick has deployed.
    fingerprint: str
    outdated: frozenset[str] = frozenset()
    #: Jobs whose queue does not let messages be taken back.
    blocked: frozenset[str] = frozenset()
    #: All jobs that are left alone, including these.
    without: frozenset[str] = frozenset()

    @property
    def is_complete(self) -> bool:
        """Whether the tick looks at every job: only then do we know every slot that was sent."""
        return not self.without


@dataclass(frozen=True)
class Behind:
    """A deploy waits until the old definitions have sent their slots up to an instant."""

    until: datetime


@dataclass(frozen=True, kw_only=True)
class Deploys:
    """A namespace's jobs in the code, and how they replace the stored ones."""

    owner: str
    by_name: Mapping[str, PeriodicJob]
    version: int
    look_ahead: timedelta
    grace: timedelta
    #: A lower version may take over when the higher one is silent: a rollback, or its job was deleted.
    rollback: bool
    rounds: Rounds

    @property
    def namespace(self) -> str:
        """The namespace of the jobs."""
        return self.rounds.namespace

    def deploy(
        self, left_alone: frozenset[str], blocked: frozenset[str], until: datetime | None = None
    ) -> Flow[tuple[Summary, Deployed | Behind]]:
        """Let the code's jobs replace the stored ones.

        :param left_alone: jobs that stay as they are
        :param blocked: queues that do not let messages be taken back: jobs that need that stay, too
        :param until: old definitions have sent their slots up to here
        """
        counts = Summary()
        stored = yield periodic.register_namespace(self.namespace, self.owner, self.version)
        self._check_owner(stored)
        now = stored["now"]
        window = slots.Window(now, now + self.look_ahead, self.grace)
        yield from self._note_outside_changes(stored, window)
        fingerprint = deploys.set_fingerprint(list(self.by_name.values()))
        deployed = Deployed(window.horizon, fingerprint, without=left_alone)
        if (stored["fingerprint"], stored["version"]) == (fingerprint, self.version):
            return counts, deployed
        known = {job.name: job for job in (yield periodic.stored_jobs(self.namespace))}
        rollback = self.rollback and now - stored["version_ticked_at"] >= SILENT
        change = deploys.deploy(
            self.by_name, known, version=self.version, stored_version=stored["version"], rollback=rollback
        ).without(left_alone)
        names = yield from self._blocked(blocked, change, now)
        change = change.without(names)
        behind = yield from self._change(counts, stored, known, change, until)
        if behind is not None:
            return counts, behind
        without = left_alone | names | change.outdated | counts.failed.keys()
        deployed = replace(deployed, outdated=change.outdated, blocked=names, without=without)
        if self.version < stored["version"] and not rollback:
            return counts, replace(deployed, fingerprint=stored["fingerprint"])
        version = self.version
        if without:
            # While jobs are left alone, every tick has to compare again, and a rollback is not complete.
            left = hashlib.sha256(repr(sorted(without)).encode()).hexdigest()[:8]
            deployed = replace(deployed, fingerprint=f"partly {left} {fingerprint}")
            version = max(version, stored["version"])
        yield periodic.deploy_namespace(self.namespace, self.owner, version, deployed.fingerprint)
        return counts, deployed

    def _blocked(self, queue_names: frozenset[str], change: Deploy, now: datetime) -> Flow[frozenset[str]]:
        """Jobs whose messages a deploy would take back from these queues, or that it would move there."""
        if not queue_names:
            return frozenset()
        removed = set(change.removed)
        found = {job.name for job in change.changed if job.queue_name in queue_names}
        for row in (yield periodic.jobs_of_queues(self.namespace, queue_names, now)):
            since = now - MAX_JITTER if row["name"] in removed else now
            if row["sends"] or row["waits"] or (row["last_sent"] is not None and row["last_sent"] > since):
                found.add(row["name"])
        return frozenset(found & (removed | {job.name for job in change.changed}))

    def _change(
        self,
        counts: Summary,
        stored: Row,
        known: Mapping[str, Stored],
        change: Deploy,
        until: datetime | None,
    ) -> Flow[Behind | None]:
        """Let old definitions finish, take back what new ones send differently, start new ones."""
        now = stored["now"]
        definitions: dict[str, Any] = {}
        to_resend: set[str] = set()
        if change.changed:
            names = [job.name for job in change.changed]
            definitions = yield periodic.stored_definitions(self.namespace, names)
            to_resend = set((yield periodic.jobs_to_resend(self.namespace, now)))
        old = yield from self._unfinished(known, definitions, to_resend, now)
        window = slots.Window(now, until or now, self.grace)
        if (yield from self._finish(counts, known, old, window, stored)):
            return Behind(window.horizon)
        window = replace(window, horizon=now)
        if until is not None:
            # Only a few slots have come due meanwhile.
            yield from self._finish(counts, known, old, window, stored, bounded=False)
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
        for positions in chunks(range(len(begun)), tick_rounds.JOBS):
            yield periodic.upsert_jobs(self.namespace, [begun[position] for position in positions], now)
        if redefined:
            yield periodic.redefine_jobs(self.namespace, redefined)
        if change.removed:
            yield periodic.remove_jobs(self.namespace, change.removed)
        return None

    def _note_outside_changes(self, stored: Row, window: slots.Window) -> Flow[None]:
        """Note a clock that went back, queues that were lost, and a restored database."""
        if stored["went_back"]:
            yield periodic.reset_after_clock_change(self.namespace, window)
        if stored["newest_incarnation"] > stored["incarnation"]:
            yield periodic.note_lost(self.namespace, stored["newest_incarnation"])
        if stored["restored"]:
            yield from periodic.resend_missing(self.namespace, window.now)

    def _unfinished(
        self, known: Mapping[str, Stored], definitions: Mapping[str, Any], to_resend: set[str], now: datetime
    ) -> Flow[dict[str, PeriodicJob]]:
        """Jobs as they were deployed, with slots that are due, or that are to be sent again.

        Without its calendar it is unknown which slots a job had.
        """
        late = {
            name: jobs.stored_job(name, definition, self.by_name[name])
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
        stored: Row,
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
        more: bool = yield from self._advance(counts, going, window, stored, bounded)
        if counts.failed:
            # A template fails for a slot: perhaps the new one does not.
            going = {name: _with_message_of(self.by_name[name], going[name]) for name in counts.failed}
            counts.failed.clear()
            more = (yield from self._advance(counts, going, window, stored, bounded)) or more
        return more

    def _advance(
        self,
        counts: Summary,
        going: Mapping[str, PeriodicJob],
        window: slots.Window,
        stored: Row,
        bounded: bool,
    ) -> Flow[bool]:
        more: bool = yield from self.rounds.advance(
            counts, going, window, is_known=stored["known"], only=sorted(going), bounded=bounded
        )
        return more

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

    def _check_owner(self, stored: Row) -> None:
        if stored["owner"] != self.owner and stored["now"] - stored["ticked_at"] < SILENT:
            raise NamespaceTaken(
                f"Namespace {self.namespace!r} is ticked by {stored['owner']!r}, so {self.owner!r} must not: "
                "each would take back the other's messages. Give one of them another namespace=. After a "
                "rename, this works once the old name has been silent for "
                f"{SILENT.total_seconds() / 60:.0f} minutes."
            )


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
