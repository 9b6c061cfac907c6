"""A tick: bring the stored jobs in line with the code, then enqueue every slot that is due.

Each round is one transaction under the namespace's row lock, which sends messages and moves the watermarks
of their jobs together. So a crash between rounds loses nothing and repeats nothing, and ticks of several
deployments take turns.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from functools import partial
from typing import Any

from airflow_pgmq import culprits, rounds, sampling
from airflow_pgmq.client import OUTAGES, Client, Connection, DriverError, LockNotAvailable
from airflow_pgmq.core import jobs, slots
from airflow_pgmq.core.batch import chunks
from airflow_pgmq.core.jobs import Deploy, PeriodicJob, Stored
from airflow_pgmq.core.messages import Row
from airflow_pgmq.core.outgoing import Outgoing, outgoing
from airflow_pgmq.core.summary import Summary
from airflow_pgmq.errors import CodeTooOld, InvalidJobs, NotInstalled, PgmqError
from airflow_pgmq.rounds import Rounds
from airflow_pgmq.statements import Flow, incarnations, periodic, queues, sending

#: Pages of ledger and slots that a tick looks through for expired rows: 1 MB of each, about 10,000 rows.
PRUNED_PAGES = 128
#: A namespace whose owner has been silent for so long may be taken over, for example after a rename.
SILENT = timedelta(minutes=5)


@dataclass(frozen=True)
class _Deployed:
    """What the rounds of a tick need to know of its deploy."""

    #: Up to where they enqueue.
    horizon: datetime
    #: Of the set of jobs in force; when it changes, another tick has deployed.
    fingerprint: str
    outdated: frozenset[str] = frozenset()
    #: Jobs that are left alone, these among them.
    without: frozenset[str] = frozenset()
    #: Whether the others are all: only then is the tick complete.
    is_complete: bool = True


@dataclass(frozen=True)
class _Behind:
    """A deploy waits until what the old definitions have to send up to some instant is sent."""

    until: datetime


@dataclass(frozen=True, kw_only=True)
class Tick:
    """A set of jobs and how far ahead they are enqueued."""

    namespace: str
    owner: str
    jobs: Sequence[PeriodicJob]
    version: int
    look_ahead: timedelta
    grace: timedelta
    dedup_window: timedelta
    source: Mapping[str, Any] | None = None
    #: A lower version may take over when the higher one is silent: a rollback, or its job was deleted.
    rollback: bool = False
    by_name: dict[str, PeriodicJob] = field(init=False)
    rounds: Rounds = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "by_name", {job.name: job for job in self.jobs})
        sent = Rounds(
            namespace=self.namespace,
            look_ahead=self.look_ahead,
            dedup_window=self.dedup_window,
            source=self.source,
            queue_names=frozenset(job.queue_name for job in self.jobs),
        )
        object.__setattr__(self, "rounds", sent)

    def run(self, client: Client) -> Summary:
        """Deploy what changed, then enqueue in rounds until nothing is due.

        Jobs of a queue that is missing or does not take messages are left out, and named in the summary.
        """
        client.once("schema", client.ensure_schema)
        summary = Summary(jobs=len(self.jobs))
        with client.connection() as conn:
            summary.failed = client.attempt(self._check_queues, conn)
            held = frozenset(summary.failed)
            counts, deployed = client.attempt(partial(self._deploy, held), conn)
            while isinstance(deployed, _Behind):
                summary.add(counts)
                counts, deployed = client.attempt(partial(self._deploy, held, deployed.until), conn)
            summary.add(counts)
            summary.outdated = len(deployed.outdated)
            try:
                self._go_round(client, conn, deployed, summary)
            except (PgmqError, DriverError) as exc:
                if not _is_of_a_queue(exc):
                    raise
                self._go_round_apart(client, conn, deployed, summary)
            client.attempt(lambda: sending.prune_ledger(PRUNED_PAGES), conn)
            client.attempt(lambda: sending.prune_slots(PRUNED_PAGES), conn)
            sampling.take_if_allowed(client, conn)
        return summary

    def backfill(self, client: Client, start: datetime, end: datetime) -> Summary:
        """Enqueue the slots in [start, end) of jobs that are not paused; no watermark moves."""
        client.once("schema", client.ensure_schema)
        summary = Summary(jobs=len(self.jobs))
        with client.connection() as conn:
            if missing := client.attempt(self._check_queues, conn):
                raise InvalidJobs(missing)
            stored = client.run(lambda: periodic.stored_jobs(self.namespace), conn)
            paused = {job.name for job in stored if job.paused}
            items = [
                outgoing(job, slot, self.namespace, self.source)
                for job in self.jobs
                if job.name not in paused
                for slot in slots.between(job, start, end)
            ]
            for positions in chunks(range(len(items)), rounds.SLOTS):
                part = [items[position] for position in positions]
                summary.add(client.attempt(partial(self._fill, part), conn))
        return summary

    def _go_round(self, client: Client, conn: Connection, deployed: _Deployed, summary: Summary) -> None:
        more = True
        while more:
            counts, more = client.attempt(partial(self._round, deployed), conn)
            summary.add(counts)

    def _go_round_apart(
        self, client: Client, conn: Connection, deployed: _Deployed, summary: Summary
    ) -> None:
        """The same for each queue by itself, so that one does not keep the others from theirs."""
        names = defaultdict(set)
        for job in self.jobs:
            if job.name not in deployed.without:
                names[job.queue_name].add(job.name)
        for queue_name, own in sorted(names.items()):
            without = deployed.without | self.by_name.keys() - own
            try:
                self._go_round(client, conn, replace(deployed, without=without, is_complete=False), summary)
            except (PgmqError, DriverError) as exc:
                if not _is_of_a_queue(exc):
                    raise
                text = f"queue {queue_name!r} does not take its messages: {exc}"
                summary.failed |= {name: [text] for name in own}

    def _fill(self, items: Sequence[Outgoing]) -> Flow[Summary]:
        """Slots of a backfill; under the namespace's lock, if it has one, so that no tick comes between."""
        counts = Summary()
        locked = yield periodic.lock_namespace(self.namespace)
        now = locked["now"] if locked else (yield periodic.clock())
        claims = yield from self.rounds.send(items, now, is_known=locked is not None and locked["known"])
        counts.count(items, claims, now)
        return counts

    def _check_queues(self) -> Flow[dict[str, list[str]]]:
        """Recognise queues that were lost and made again; jobs whose queue is missing, and what to do then.

        Those that jobs were sent to until now are recognised, too: a deploy may take them elsewhere.
        """
        stored = yield periodic.stored_queues(self.namespace)
        wanted = {job.queue_name for job in self.jobs}
        missing = wanted.intersection((yield from incarnations.recognise(wanted.union(stored))))
        return {
            job.name: [f"queue {job.queue_name!r} does not exist; create it with PgmqHook().create_queue()"]
            for job in self.jobs
            if job.queue_name in missing
        }

    def _deploy(
        self, held: frozenset[str], until: datetime | None = None
    ) -> Flow[tuple[Summary, _Deployed | _Behind]]:
        counts = Summary()
        stored = yield periodic.open_namespace(self.namespace, self.owner, self.version)
        self._check_owner(stored)
        now = stored["now"]
        window = slots.Window(now, now + self.look_ahead, self.grace)
        yield from self._catch_up_with_the_world(stored, window)
        fingerprint = jobs.set_fingerprint(self.jobs)
        deployed = _Deployed(window.horizon, fingerprint, without=held, is_complete=not held)
        if (stored["fingerprint"], stored["version"]) == (fingerprint, self.version):
            return counts, deployed
        known = {job.name: job for job in (yield periodic.stored_jobs(self.namespace))}
        rollback = self.rollback and now - stored["version_ticked_at"] >= SILENT
        change = jobs.deploy(
            self.by_name, known, version=self.version, stored_version=stored["version"], rollback=rollback
        ).leaving(held)
        behind = yield from self._change(counts, stored, known, change, until)
        if behind is not None:
            return counts, behind
        deployed = replace(deployed, outdated=change.outdated, without=held | change.outdated)
        if self.version < stored["version"] and not rollback:
            return counts, replace(deployed, fingerprint=stored["fingerprint"])
        if deployed.without:
            # While jobs are left alone, every tick has to look again.
            deployed = replace(deployed, fingerprint=f"partly {fingerprint}")
        yield periodic.deploy_namespace(self.namespace, self.owner, self.version, deployed.fingerprint)
        return counts, deployed

    def _change(
        self,
        counts: Summary,
        stored: Row,
        known: Mapping[str, Stored],
        change: Deploy,
        until: datetime | None,
    ) -> Flow[_Behind | None]:
        """Let old definitions finish, take back what new ones send otherwise, and begin those."""
        now = stored["now"]
        definitions: dict[str, Any] = {}
        opened: set[str] = set()
        if change.changed:
            names = [job.name for job in change.changed]
            definitions = yield periodic.stored_definitions(self.namespace, names)
            opened = set((yield periodic.opened_jobs(self.namespace, now)))
        old = self._unfinished(known, definitions, opened, now)
        window = slots.Window(now, until or now, self.grace)
        if (yield from self._finish(counts, known, old, window, stored)):
            return _Behind(window.horizon)
        window = replace(window, horizon=now)
        if until is not None:
            # What came due meanwhile is little.
            yield from self._finish(counts, known, old, window, stored, bounded=False)
        # Where only policies change, messages stay.
        redefined = [job for job in change.changed if job.sends_as(definitions[job.name])]
        same = {job.name for job in redefined}
        changed = [job for job in change.changed if job.name not in same]
        counts.dropped += _missed_in_pauses(
            known, {name: job for name, job in old.items() if name not in same}, window
        )
        yield from self._take_back(counts, change.removed, [job.name for job in changed], now)
        begun = [*change.added, *changed]
        for positions in chunks(range(len(begun)), rounds.JOBS):
            yield periodic.upsert_jobs(self.namespace, [begun[position] for position in positions], now)
        if redefined:
            yield periodic.redefine_jobs(self.namespace, redefined)
        if change.removed:
            yield periodic.remove_jobs(self.namespace, change.removed)
        return None

    def _catch_up_with_the_world(self, stored: Row, window: slots.Window) -> Flow[None]:
        """A clock that went back, and queues that were lost."""
        if stored["went_back"]:
            yield periodic.turn_back(self.namespace, window)
        if stored["newest_incarnation"] > stored["incarnation"]:
            yield periodic.note_lost(self.namespace, stored["newest_incarnation"])
        if stored["restored"]:
            yield from periodic.doubt(self.namespace, window.now)

    def _unfinished(
        self, known: Mapping[str, Stored], definitions: Mapping[str, Any], opened: set[str], now: datetime
    ) -> dict[str, PeriodicJob]:
        """Jobs as they were deployed, of which something is due, or was and is to be sent again."""
        late = {
            name: jobs.stored_job(name, definition, self.by_name[name])
            for name, definition in definitions.items()
            if name in opened or ((at := known[name].next_slot) is not None and at <= now)
        }
        return {name: job for name, job in late.items() if job is not None}

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
        """Let old definitions send what was due while they were in force; whether there is more."""
        going = {name: job for name, job in old.items() if not known[name].paused}
        if not going:
            return False
        missing = set((yield queues.missing({job.queue_name for job in going.values()})))
        for name, job in going.items():
            if job.queue_name in missing:
                going[name] = replace(job, queue_name=self.by_name[name].queue_name)
        more = yield from self.rounds.advance(
            counts, going, window, is_known=stored["known"], only=sorted(going), bounded=bounded
        )
        return more

    def _take_back(
        self, counts: Summary, removed: Sequence[str], changed: Sequence[str], now: datetime
    ) -> Flow[None]:
        """What nobody has seen: all of a job that is gone, what a changed one has yet to begin."""
        # Jitter can hold the message of a past slot back.
        for names, after, again in ((removed, now - jobs.MAX_JITTER, False), (changed, now, True)):
            withdrawn = yield from periodic.withdraw(self.namespace, names, after=after, now=now, again=again)
            counts.withdrawn += sum(count for count, _ in withdrawn.values())

    def _check_owner(self, stored: Row) -> None:
        if stored["owner"] != self.owner and stored["now"] - stored["ticked_at"] < SILENT:
            raise PgmqError(
                f"Namespace {self.namespace!r} is ticked by {stored['owner']!r}, so {self.owner!r} must not: "
                "each would withdraw the other's jobs. Give one of them another namespace=. After a rename, "
                f"this works once the old name has been silent for {SILENT.total_seconds() / 60:.0f} minutes."
            )

    def _round(self, deployed: _Deployed) -> Flow[tuple[Summary, bool]]:
        counts = Summary()
        stored = yield periodic.lock_namespace(self.namespace)
        if stored is None or stored["fingerprint"] != deployed.fingerprint:
            # Another deploy came between two rounds: the jobs are now its own to send.
            return counts, False
        window = slots.Window(stored["now"], deployed.horizon, self.grace)
        going = {name: job for name, job in self.by_name.items() if name not in deployed.without}
        more = yield from self.rounds.advance(
            counts, going, window, is_known=stored["known"], without=sorted(deployed.without)
        )
        if not more:
            is_known = stored["known"] or deployed.is_complete
            yield periodic.close_tick(self.namespace, self.owner, self.version, window, is_known=is_known)
        return counts, more


def _missed_in_pauses(
    known: Mapping[str, Stored], old: Mapping[str, PeriodicJob], window: slots.Window
) -> int:
    """Slots of paused jobs that are dropped with their definition, as far as they are counted."""
    total = 0
    for name, job in old.items():
        if known[name].paused and total < rounds.LOOKED_AT:
            total += slots.missed(job, known[name].watermark, known[name].next_slot, window.now)
    return total


def _is_of_a_queue(exc: Exception) -> bool:
    """Whether other queues need not suffer from it: a lock may be, the end of the connection is not."""
    if isinstance(exc, LockNotAvailable):
        return True
    if isinstance(exc, (*OUTAGES, CodeTooOld, NotInstalled)):
        return False
    return culprits.is_of_a_queue(exc)
