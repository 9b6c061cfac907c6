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

from airflow_pgmq import sampling
from airflow_pgmq.client import Client
from airflow_pgmq.core import jobs, slots
from airflow_pgmq.core.batch import chunks
from airflow_pgmq.core.jobs import Deploy, PeriodicJob, Stored
from airflow_pgmq.core.messages import Row
from airflow_pgmq.core.outgoing import Outgoing, by_queue, outgoing
from airflow_pgmq.core.summary import Summary
from airflow_pgmq.errors import InvalidJobs, PgmqError
from airflow_pgmq.statements import Flow, incarnations, periodic, queues, sending
from airflow_pgmq.statements.sending import Claim

#: Jobs and slots of one round: bounds its transaction and its memory.
JOBS_PER_ROUND = 1000
SLOTS_PER_ROUND = 5000
#: Slots that are computed in one round, most of them left out after an outage: a tenth of a second.
LOOKED_AT_PER_ROUND = 20_000
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

    def __post_init__(self) -> None:
        object.__setattr__(self, "by_name", {job.name: job for job in self.jobs})

    def run(self, client: Client) -> Summary:
        """Deploy what changed, then enqueue in rounds until nothing is due."""
        client.once("schema", client.ensure_schema)
        summary = Summary(jobs=len(self.jobs))
        with client.connection() as conn:
            client.attempt(self._check_queues, conn)
            counts, deployed = client.attempt(self._deploy, conn)
            while isinstance(deployed, _Behind):
                summary.add(counts)
                counts, deployed = client.attempt(partial(self._deploy, deployed.until), conn)
            summary.add(counts)
            summary.outdated = len(deployed.outdated)
            more = True
            while more:
                counts, more = client.attempt(partial(self._round, deployed), conn)
                summary.add(counts)
            client.attempt(lambda: sending.prune_ledger(PRUNED_PAGES), conn)
            client.attempt(lambda: sending.prune_slots(PRUNED_PAGES), conn)
            sampling.take_if_allowed(client, conn)
        return summary

    def backfill(self, client: Client, start: datetime, end: datetime) -> Summary:
        """Enqueue the slots in [start, end) of jobs that are not paused; no watermark moves."""
        client.once("schema", client.ensure_schema)
        summary = Summary(jobs=len(self.jobs))
        with client.connection() as conn:
            client.attempt(self._check_queues, conn)
            stored = client.run(lambda: periodic.stored_jobs(self.namespace), conn)
            paused = {job.name for job in stored if job.paused}
            items = [
                outgoing(job, slot, self.namespace, self.source)
                for job in self.jobs
                if job.name not in paused
                for slot in slots.between(job, start, end)
            ]
            for positions in chunks(range(len(items)), SLOTS_PER_ROUND):
                part = [items[position] for position in positions]
                summary.add(client.attempt(partial(self._fill, part), conn))
        return summary

    def _fill(self, items: Sequence[Outgoing]) -> Flow[Summary]:
        """Slots of a backfill; under the namespace's lock, if it has one, so that no tick comes between."""
        counts = Summary()
        locked = yield periodic.lock_namespace(self.namespace)
        now = locked["now"] if locked else (yield periodic.clock())
        claims = yield from self._send(items, now, is_known=locked is not None and locked["known"])
        counts.count(items, claims, now)
        return counts

    def _check_queues(self) -> Flow[None]:
        """See that the queues are there, and recognise those that were lost and made again.

        Those that jobs were sent to until now are recognised, too: a deploy may take them elsewhere.
        """
        stored = yield periodic.stored_queues(self.namespace)
        wanted = {job.queue_name for job in self.jobs}
        missing = wanted.intersection((yield from incarnations.recognise(wanted.union(stored))))
        if missing:
            raise InvalidJobs(
                {
                    job.name: [
                        f"queue {job.queue_name!r} does not exist; create it with PgmqHook().create_queue()"
                    ]
                    for job in self.jobs
                    if job.queue_name in missing
                }
            )

    def _deploy(self, until: datetime | None = None) -> Flow[tuple[Summary, _Deployed | _Behind]]:
        counts = Summary()
        stored = yield periodic.open_namespace(self.namespace, self.owner, self.version)
        self._check_owner(stored)
        now = stored["now"]
        window = slots.Window(now, now + self.look_ahead, self.grace)
        yield from self._catch_up_with_the_world(stored, window)
        fingerprint = jobs.set_fingerprint(self.jobs)
        if (stored["fingerprint"], stored["version"]) == (fingerprint, self.version):
            return counts, _Deployed(window.horizon, fingerprint)
        known = {job.name: job for job in (yield periodic.stored_jobs(self.namespace))}
        rollback = self.rollback and now - stored["version_ticked_at"] >= SILENT
        change = jobs.deploy(
            self.by_name, known, version=self.version, stored_version=stored["version"], rollback=rollback
        )
        behind = yield from self._change(counts, stored, known, change, until)
        if behind is not None:
            return counts, behind
        if self.version < stored["version"] and not rollback:
            return counts, _Deployed(window.horizon, stored["fingerprint"], change.outdated)
        if change.outdated:
            # While jobs are left alone, every tick has to look again.
            fingerprint = f"partly {fingerprint}"
        yield periodic.deploy_namespace(self.namespace, self.owner, self.version, fingerprint)
        return counts, _Deployed(window.horizon, fingerprint, change.outdated)

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
        if change.changed:
            names = [job.name for job in change.changed]
            definitions = yield periodic.stored_definitions(self.namespace, names)
        old = self._unfinished(known, definitions, now)
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
        for positions in chunks(range(len(begun)), JOBS_PER_ROUND):
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
        self, known: Mapping[str, Stored], definitions: Mapping[str, Any], now: datetime
    ) -> dict[str, PeriodicJob]:
        """Jobs as they were deployed, of which something is due."""
        late = {
            name: jobs.stored_job(name, definition, self.by_name[name])
            for name, definition in definitions.items()
            if (at := known[name].next_slot) is not None and at <= now
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
        more = yield from self._advance(
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
        going = {name: job for name, job in self.by_name.items() if name not in deployed.outdated}
        more = yield from self._advance(
            counts, going, window, is_known=stored["known"], without=sorted(deployed.outdated)
        )
        if not more:
            yield periodic.close_tick(self.namespace, self.owner, self.version, window)
        return counts, more

    def _advance(
        self,
        counts: Summary,
        going: Mapping[str, PeriodicJob],
        window: slots.Window,
        *,
        is_known: bool,
        only: Sequence[str] | None = None,
        without: Sequence[str] = (),
        bounded: bool = True,
    ) -> Flow[bool]:
        """Send what is due of these jobs, or to be sent again, and move their watermarks; whether there is more."""
        limit = JOBS_PER_ROUND if bounded else None
        rows = yield periodic.due_jobs(self.namespace, window, only=only, without=without, limit=limit)
        busy = yield from self._busy(rows)
        items: list[Outgoing] = []
        states: list[dict[str, Any]] = []
        opened: list[tuple[str, datetime]] = []
        looked_at = 0
        for row in rows:
            job = going[row["name"]]
            due = slots.due(job, row["watermark"], row["next_slot"], window, row["opened"])
            counts.dropped += due.dropped
            wanted = due.slots
            if job.name in busy:
                counts.dropped += len(wanted)
                wanted = []
            items += [outgoing(job, slot, self.namespace, self.source) for slot in wanted]
            states.append(_state(job, due, wanted))
            opened += [(job.name, slot) for slot in row["opened"]]
            is_known = is_known and not row["lost"]
            looked_at += due.looked_at
            if bounded and (len(items) >= SLOTS_PER_ROUND or looked_at >= LOOKED_AT_PER_ROUND):
                break
        claims = yield from self._send(items, window.now, is_known=is_known)
        if states:
            yield periodic.advance_jobs(self.namespace, window.now, states)
        if opened:
            yield periodic.free_slots(self.namespace, opened)
        counts.count(items, claims, window.now)
        return bounded and (len(states) < len(rows) or len(rows) == JOBS_PER_ROUND)

    def _busy(self, rows: Sequence[Row]) -> Flow[set[str]]:
        """Jobs with `overlap="skip"` whose newest message is still in the queue that it was sent to."""
        last: dict[str, dict[int, Row]] = defaultdict(dict)
        for row in rows:
            if row["last_msg_id"] is not None:
                last[row["last_queue"]][row["last_msg_id"]] = row
        missing = set((yield queues.missing(last))) if last else set()
        busy = set()
        for queue_name, by_id in last.items():
            if queue_name in missing:
                continue
            keys = {
                msg_id: slots.key(self.namespace, row["name"], row["last_slot"])
                for msg_id, row in by_id.items()
            }
            for msg_id in (yield periodic.still_queued(queue_name, keys)):
                busy.add(by_id[msg_id]["name"])
        return busy

    def _send(self, items: Sequence[Outgoing], now: datetime, *, is_known: bool) -> Flow[dict[str, Claim]]:
        """Send what has not expired; by key, what became of it.

        :param is_known: whether all that was ever sent is known; otherwise the queue is asked first
        """
        claims: dict[str, Claim] = {}
        wanted = [item for item in items if not item.is_expired(now)]
        if wanted and not is_known:
            yield from self._adopt(wanted, now)
        for queue_name, queued in by_queue(wanted).items():
            claims |= yield from periodic.send(
                self.namespace, queue_name, queued, now=now, window=self.dedup_window
            )
        # What the page shows as duplicates: a slot stays sent, and was met again.
        again = sorted(
            {(item.job.name, item.slot) for item in items if claims.get(item.key, ("",))[0] == "duplicate"}
        )
        if again:
            yield periodic.note_repeats(self.namespace, again)
        return claims


    def _adopt(self, wanted: Sequence[Outgoing], now: datetime) -> Flow[None]:
        """Look for them in every queue that the namespace's jobs send to, or did when they were stored."""
        stored = yield periodic.stored_jobs(self.namespace)
        named = {job.queue_name for job in [*self.jobs, *stored, *(item.job for item in wanted)]}
        # Nothing was archived before it was enqueued.
        since = min(now, *(item.slot for item in wanted)) - self.look_ahead
        for queue_name in sorted(named - set((yield queues.missing(named)))):
            yield from periodic.adopt(
                self.namespace, queue_name, wanted, since=since, now=now, window=self.dedup_window
            )


def _state(job: PeriodicJob, due: slots.Due, wanted: Sequence[datetime]) -> dict[str, Any]:
    return {
        "name": job.name,
        "watermark": due.watermark,
        "next_slot": due.next_slot,
        "last_slot": max(wanted, default=None),
    }


def _missed_in_pauses(
    known: Mapping[str, Stored], old: Mapping[str, PeriodicJob], window: slots.Window
) -> int:
    """Slots of paused jobs that are dropped with their definition, as far as they are counted."""
    total = 0
    for name, job in old.items():
        if known[name].paused and total < LOOKED_AT_PER_ROUND:
            total += slots.missed(job, known[name].watermark, known[name].next_slot, window.now)
    return total
