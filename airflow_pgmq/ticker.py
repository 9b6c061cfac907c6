"""A tick: bring the stored jobs in line with the code, then enqueue every slot that is due.

Each round is one transaction under the namespace's row lock, which sends messages and moves the watermarks
of their jobs together. So a crash between rounds loses nothing and repeats nothing, and ticks of several
deployments take turns.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from datetime import datetime, timedelta
from typing import Any

from airflow_pgmq import sampling
from airflow_pgmq.client import Client
from airflow_pgmq.core import jobs, slots
from airflow_pgmq.core.batch import chunks
from airflow_pgmq.core.jobs import PeriodicJob
from airflow_pgmq.core.messages import Row, SendResult
from airflow_pgmq.core.outgoing import Outgoing, batches, outgoing
from airflow_pgmq.errors import InvalidJobs, PgmqError
from airflow_pgmq.statements import Flow, periodic, queues, sending

#: Jobs and slots of one round: bounds its transaction and its memory.
JOBS_PER_ROUND = 1000
SLOTS_PER_ROUND = 5000
#: Pages of the ledger that a tick looks through for expired rows: 1 MB, about 10,000 rows.
PRUNED_PAGES = 128
#: A namespace whose owner has been silent for so long may be taken over, for example after a rename.
SILENT = timedelta(minutes=5)


@dataclass
class Summary:
    """What a tick did."""

    jobs: int = 0
    slots: int = 0
    sent: int = 0
    duplicates: int = 0
    #: Messages taken back because their job left the code or changed.
    withdrawn: int = 0
    #: Sent after the instant at which they should have become visible.
    late: int = 0
    #: Seconds by which the latest of these was late.
    lateness: float = 0.0
    #: Slots left out by a job's catch-up or overlap policy.
    dropped: int = 0
    #: Jobs left to a newer version of this code, those that only it knows among them.
    outdated: int = 0
    #: `sent` and `duplicates`, each by queue.
    by_queue: Counter[tuple[str, str]] = field(default_factory=Counter)

    def add(self, more: Summary) -> None:
        """Add the counts of a round."""
        lateness = max(self.lateness, more.lateness)
        for each in fields(self):
            setattr(self, each.name, getattr(self, each.name) + getattr(more, each.name))
        self.lateness = lateness

    def count(self, items: Sequence[Outgoing], results: Mapping[str, SendResult], now: datetime) -> None:
        """Count what became of slots."""
        self.slots += len(items)
        for item in items:
            queue_name = item.job.queue_name
            if results[item.key].status != "sent":
                self.duplicates += 1
                self.by_queue[queue_name, "duplicates"] += 1
                continue
            self.sent += 1
            self.by_queue[queue_name, "sent"] += 1
            if item.visible_at < now:
                self.late += 1
                self.lateness = max(self.lateness, (now - item.visible_at).total_seconds())

    def as_dict(self) -> dict[str, Any]:
        """The counts, for XCom."""
        counts = asdict(replace(self, lateness=round(self.lateness, 3)))
        del counts["by_queue"]
        return counts


@dataclass(frozen=True)
class _Deployed:
    """What the rounds of a tick need to know of its deploy."""

    window: slots.Window
    #: Of the set of jobs in force; when it changes, another tick has deployed.
    fingerprint: str
    outdated: frozenset[str] = frozenset()
    withdrawn: int = 0


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
            client.run(self._check_queues, conn)
            deployed = client.attempt(self._deploy, conn)
            summary.withdrawn = deployed.withdrawn
            summary.outdated = len(deployed.outdated)
            more = True
            while more:
                counts, more = client.attempt(lambda: self._round(deployed), conn)
                summary.add(counts)
            client.attempt(lambda: sending.prune_ledger(PRUNED_PAGES), conn)
            sampling.take_if_allowed(client, conn)
        return summary

    def backfill(self, client: Client, start: datetime, end: datetime) -> Summary:
        """Enqueue the slots in [start, end) of jobs that are not paused; no watermark moves."""
        client.once("schema", client.ensure_schema)
        summary = Summary(jobs=len(self.jobs))
        with client.connection() as conn:
            client.run(self._check_queues, conn)
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
                sent = client.attempt(lambda part=part: self._send(part), conn)  # type: ignore[misc]
                summary.count(part, sent, end)
        return summary

    def _check_queues(self) -> Flow[None]:
        missing = set((yield queues.missing({job.queue_name for job in self.jobs})))
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

    def _deploy(self) -> Flow[_Deployed]:
        stored = yield periodic.open_namespace(self.namespace, self.owner, self.version)
        self._check_owner(stored)
        window = slots.Window(stored["now"], stored["now"] + self.look_ahead, self.grace)
        fingerprint = jobs.set_fingerprint(self.jobs)
        if (stored["fingerprint"], stored["version"]) == (fingerprint, self.version):
            return _Deployed(window, fingerprint)
        known = {job.name: job for job in (yield periodic.stored_jobs(self.namespace))}
        rollback = self.rollback and stored["now"] - stored["version_ticked_at"] >= SILENT
        change = jobs.deploy(
            self.by_name, known, version=self.version, stored_version=stored["version"], rollback=rollback
        )
        gone = [known[name] for name in (*change.removed, *(job.name for job in change.changed))]
        withdrawn = yield from withdraw(self.namespace, gone, window.now)
        watermarks = [(job, window.now) for job in change.added]
        watermarks += [
            (job, _done(known[job.name], stored["horizon"], window.now, withdrawn.get(job.name)))
            for job in change.changed
        ]
        for positions in chunks(range(len(watermarks)), JOBS_PER_ROUND):
            yield periodic.upsert_jobs(self.namespace, [watermarks[position] for position in positions])
        if change.removed:
            yield periodic.remove_jobs(self.namespace, change.removed)
        if self.version < stored["version"] and not rollback:
            return _Deployed(window, stored["fingerprint"], change.outdated)
        if change.outdated:
            # While jobs are left alone, every tick has to look again.
            fingerprint = f"partly {fingerprint}"
        yield periodic.deploy_namespace(self.namespace, self.owner, self.version, fingerprint)
        count = sum(count for count, _ in withdrawn.values())
        return _Deployed(window, fingerprint, change.outdated, count)

    def _check_owner(self, stored: Row) -> None:
        if stored["owner"] != self.owner and stored["now"] - stored["ticked_at"] < SILENT:
            raise PgmqError(
                f"Namespace {self.namespace!r} is ticked by {stored['owner']!r}, so {self.owner!r} must not: "
                "each would withdraw the other's jobs. Give one of them another namespace=. After a rename, "
                f"this works once the old name has been silent for {SILENT.total_seconds() / 60:.0f} minutes."
            )

    def _round(self, deployed: _Deployed) -> Flow[tuple[Summary, bool]]:
        window = deployed.window
        counts = Summary()
        stored = yield periodic.lock_namespace(self.namespace)
        if stored is None or stored["fingerprint"] != deployed.fingerprint:
            # Another deploy came between two rounds: the jobs are now its own to send.
            return counts, False
        rows = yield periodic.due_jobs(self.namespace, window, sorted(deployed.outdated), JOBS_PER_ROUND)
        busy = yield from self._busy(rows)
        items: list[Outgoing] = []
        states: list[dict[str, Any]] = []
        for row in rows:
            job = self.by_name[row["name"]]
            due = slots.due(job, row["watermark"], row["next_slot"], window)
            counts.dropped += due.dropped
            wanted = due.slots
            if job.name in busy:
                counts.dropped += len(wanted)
                wanted = []
            items += [outgoing(job, slot, self.namespace, self.source) for slot in wanted]
            states.append(_state(self.namespace, job, due, wanted))
            if len(items) >= SLOTS_PER_ROUND:
                break
        sent = yield from self._send(items)
        for state in states:
            if state["last_key"] is not None:
                state["last_msg_id"] = sent[state["last_key"]].msg_id
        if states:
            yield periodic.advance_jobs(self.namespace, states)
        more = len(states) < len(rows) or len(rows) == JOBS_PER_ROUND
        if not more:
            yield periodic.close_tick(self.namespace, self.owner, self.version, window.horizon)
        counts.count(items, sent, window.now)
        return counts, more

    def _busy(self, rows: Sequence[Row]) -> Flow[set[str]]:
        """Jobs with `overlap="skip"` whose last message is still in its queue."""
        last: dict[str, dict[int, Row]] = defaultdict(dict)
        for row in rows:
            job = self.by_name[row["name"]]
            if job.overlap == "skip" and row["last_msg_id"] is not None:
                last[job.queue_name][row["last_msg_id"]] = row
        busy = set()
        for queue_name, by_id in last.items():
            keys = {msg_id: row["last_key"] for msg_id, row in by_id.items()}
            for msg_id in (yield periodic.still_queued(queue_name, keys)):
                busy.add(by_id[msg_id]["name"])
        return busy

    def _send(self, items: Sequence[Outgoing]) -> Flow[dict[str, SendResult]]:
        results: dict[str, SendResult] = {}
        for queue_name, batch in batches(items).items():
            answers = yield from sending.keyed(
                queue_name, batch, scope="once", on_duplicate="skip", window=self.dedup_window
            )
            results.update((str(answer.dedup_key), answer) for answer in answers)
        yield from self._note_repeats(items, results)
        return results

    def _note_repeats(self, items: Sequence[Outgoing], results: Mapping[str, SendResult]) -> Flow[None]:
        """What the page shows as duplicates: a slot stays sent, and was met again."""
        again = {(item.job.name, item.slot) for item in items if results[item.key].status == "duplicate"}
        if again:
            yield from periodic.note_repeats(self.namespace, sorted(again))


def withdraw(
    namespace: str, gone: Sequence[jobs.Stored], now: datetime
) -> Flow[dict[str, tuple[int, datetime]]]:
    """Take back what jobs have enqueued ahead of time; by job, how many and the first slot open again."""
    by_queue: dict[str, dict[str, datetime]] = defaultdict(dict)
    for job in gone:
        # Jitter can hold the message of a past slot back.
        by_queue[job.queue_name][job.name] = now - jobs.MAX_JITTER
    missing = set((yield queues.missing(by_queue))) if by_queue else set()
    found: dict[str, tuple[int, datetime]] = {}
    for queue_name, from_slots in sorted(by_queue.items()):
        if queue_name not in missing:
            for row in (yield periodic.withdraw(queue_name, namespace, from_slots)):
                found[row["name"]] = (row["withdrawn"], row["first_slot"])
    return found


def _done(
    stored: jobs.Stored, horizon: datetime, now: datetime, withdrawn: tuple[int, datetime] | None
) -> datetime:
    """Up to where a changed job's old definition did its work; the new one goes on there, or at now."""
    just = timedelta(microseconds=1)
    reached = horizon if stored.next_slot is None else min(stored.next_slot - just, horizon)
    done = min(max(stored.watermark, reached), now)
    # Of a slot before now, if jitter had held its message back.
    return done if withdrawn is None else min(done, withdrawn[1] - just)


def _state(namespace: str, job: PeriodicJob, due: slots.Due, wanted: Sequence[datetime]) -> dict[str, Any]:
    last = max(wanted, default=None)
    key = slots.key(namespace, job.name, last) if last else None
    return {
        "name": job.name,
        "watermark": due.watermark,
        "next_slot": due.next_slot,
        "last_slot": last,
        "last_key": key,
        "last_msg_id": None,
    }
