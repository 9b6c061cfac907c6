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
from airflow_pgmq.core import slots
from airflow_pgmq.core.batch import chunks
from airflow_pgmq.core.jobs import PeriodicJob
from airflow_pgmq.core.outgoing import Outgoing, outgoing
from airflow_pgmq.core.summary import Summary
from airflow_pgmq.deploys import Deployed, Deploys
from airflow_pgmq.errors import CodeTooOld, InvalidJobs, NotInstalled, PgmqError
from airflow_pgmq.rounds import Rounds
from airflow_pgmq.statements import Flow, incarnations, periodic, sending

#: Pages of ledger and slots that a tick looks through for expired rows: 1 MB of each, about 10,000 rows.
PRUNED_PAGES = 128


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
    deploys: Deploys = field(init=False)

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
        deploys = Deploys(
            owner=self.owner,
            by_name=self.by_name,
            version=self.version,
            look_ahead=self.look_ahead,
            grace=self.grace,
            rollback=self.rollback,
            rounds=sent,
        )
        object.__setattr__(self, "deploys", deploys)

    def run(self, client: Client) -> Summary:
        """Deploy what changed, then enqueue in rounds until nothing is due.

        Jobs of a queue that is missing or does not take messages are left out, and named in the summary.
        """
        client.once("schema", client.ensure_schema)
        summary = Summary(jobs=len(self.jobs))
        with client.connection() as conn:
            summary.failed = client.attempt(self._check_queues, conn)
            deployed = self._deploy(client, conn, summary)
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

    def _deploy(self, client: Client, conn: Connection, summary: Summary) -> Deployed:
        try:
            return self._deploy_others(client, conn, frozenset(summary.failed), summary)
        except (PgmqError, DriverError) as exc:
            if not _is_of_a_queue(exc):
                raise
            summary.failed |= self._deploy_apart(client, conn, summary)
            return self._deploy_others(client, conn, frozenset(summary.failed), summary)

    def _deploy_others(
        self, client: Client, conn: Connection, held: frozenset[str], summary: Summary
    ) -> Deployed:
        """Deploy all jobs but those that are held."""
        until = None
        while True:
            counts, deployed = client.attempt(partial(self.deploys.deploy, held, until), conn)
            summary.add(counts)
            if isinstance(deployed, Deployed):
                return deployed
            until = deployed.until

    def _deploy_apart(self, client: Client, conn: Connection, summary: Summary) -> dict[str, list[str]]:
        """Deploy what shares its queues, the old and the new one, by itself; what cannot be, and why not."""
        names = defaultdict(set)
        for name, queue_names in client.attempt(self.deploys.queues_of_jobs, conn).items():
            if name not in summary.failed:
                names[queue_names].add(name)
        everything = frozenset().union(*names.values(), summary.failed)
        failed: dict[str, list[str]] = {}
        for queue_names, own in sorted(names.items()):
            try:
                self._deploy_others(client, conn, everything - own, summary)
            except (PgmqError, DriverError) as exc:
                if not _is_of_a_queue(exc):
                    raise
                text = f"queue {' or '.join(map(repr, queue_names))} hinders its deploy: {exc}"
                failed |= {name: [text] for name in own}
        return failed

    def _go_round(self, client: Client, conn: Connection, deployed: Deployed, summary: Summary) -> None:
        more = True
        while more:
            counts, more = client.attempt(partial(self._round, deployed), conn)
            summary.add(counts)

    def _go_round_apart(self, client: Client, conn: Connection, deployed: Deployed, summary: Summary) -> None:
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

    def _round(self, deployed: Deployed) -> Flow[tuple[Summary, bool]]:
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


def _is_of_a_queue(exc: Exception) -> bool:
    """Whether other queues need not suffer from it: a lock may be, the end of the connection is not."""
    if isinstance(exc, LockNotAvailable):
        return True
    if isinstance(exc, (*OUTAGES, CodeTooOld, NotInstalled)):
        return False
    return culprits.is_of_a_queue(exc)
