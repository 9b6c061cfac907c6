"""A tick: make the stored jobs the same as the code's, then enqueue every slot that is due.

Each round is one transaction under the namespace's row lock, which sends messages and moves the watermarks
of their jobs together. So a crash between rounds loses and repeats nothing, and ticks of several
deployments take turns.
"""

from __future__ import annotations

import shlex
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from functools import partial
from typing import Any, NamedTuple

from airflow_pgmq.command_line import command
from airflow_pgmq.core import slots
from airflow_pgmq.core.batch import chunks
from airflow_pgmq.core.jobs import PeriodicJob
from airflow_pgmq.core.message_template import Renderer
from airflow_pgmq.core.slot_messages import Outgoing, outgoing
from airflow_pgmq.core.summary import Summary
from airflow_pgmq.db.client import Client, Connection, DriverError
from airflow_pgmq.db.driver.translation import words
from airflow_pgmq.db.statements import Flow, incarnations, periodic, sending
from airflow_pgmq.db.statements import live_jobs as statements
from airflow_pgmq.errors import CalendarNotFound, InvalidJobs, PgmqError
from airflow_pgmq.services import (
    calendars,
    dead_slots,
    faulty_queues,
    live_jobs,
    overdue,
    sampling,
    tick_rounds,
)
from airflow_pgmq.services.deploys import Deployed, Deploys
from airflow_pgmq.services.tick_rounds import Rounds

_HELD = (
    "a live job has this name, and is ticked instead; rename one of them, or delete the live one with "
    f"`{command('jobs remove')}`"
)
#: Pages of ledger and slots that a tick searches for expired rows: 1 MB of each, about 10,000 rows.
PRUNED_PAGES = 128


class _Checked(NamedTuple):
    #: Jobs that cannot be sent now, and why.
    wrong: dict[str, list[str]]
    #: How many live jobs there are.
    live: int
    #: Whether a job says within which time it expects its slots to be done.
    expects: bool
    #: Whether dead letters pause a job.
    pauses: bool


@dataclass(frozen=True, kw_only=True)
class Tick:
    """The tick of a set of jobs."""

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
    #: Renders jobs with templates.
    renderer: Renderer | None = None
    #: Whether it also ticks live jobs of the namespace.
    live: bool = True
    #: Tells of slots that are overdue; None: others tell.
    tell: overdue.Tell | None = None
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
            renderer=self.renderer,
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

        Jobs whose queue is missing, takes no messages or does not let them be taken back are left out, and
        named in the summary.
        """
        summary = Summary(jobs=len(self.jobs))
        with client.connection() as conn:
            client.ensure_schema(conn)
            checked = client.attempt(self._check, conn)
            summary.failed = checked.wrong
            found, blind = self._look(client, conn) if checked.expects else (overdue.Found(), {})
            summary.overdue = len(found.slots)
            try:
                deployed = self._deploy(client, conn, summary)
                if self.live:
                    summary.jobs += checked.live
                elif checked.live:
                    stored = client.run(lambda: periodic.stored_jobs(self.namespace), conn)
                    waiting = {job.name for job in stored if job.live}
                    deployed = replace(deployed, without=deployed.without | waiting)
                if checked.pauses:
                    deployed = self._pause(client, conn, deployed, summary)
                self._go_round(client, conn, deployed, summary)
            finally:
                # After the work, which must be in time, and whatever becomes of it.
                if self.tell is not None:
                    overdue.give(client, conn, found.alerts, self.tell)
            client.attempt(lambda: sending.prune_ledger(PRUNED_PAGES), conn)
            client.attempt(lambda: sending.prune_slots(PRUNED_PAGES), conn)
            sampling.take_if_allowed(client, conn)
        for name, why in blind.items():
            summary.failed[name] = [*summary.failed.get(name, []), why]
        return summary

    def _look(self, client: Client, conn: Connection) -> tuple[overdue.Found, dict[str, str]]:
        """Look for slots that are overdue before others are sent or dropped; jobs for which that fails.

        A slot that this tick would drop was expected, too.
        """
        try:
            work = partial(overdue.find, self.namespace, tells=self.tell is not None)
            found = client.attempt(work, conn)
        except (PgmqError, DriverError) as exc:
            text = f"whether its slots are overdue cannot be found out: {words(exc)}"
            expecting = [job.name for job in self.jobs if job.expect_within is not None]
            return overdue.Found(), dict.fromkeys(expecting or ["live jobs"], text)
        return found, {each.name: str(each) for each in found.unknown}

    def backfill(self, client: Client, start: datetime, end: datetime) -> Summary:
        """Enqueue the slots in [start, end) of jobs that are not paused; no watermark moves."""
        with client.connection() as conn:
            client.ensure_schema(conn)
            checked = client.attempt(self._check, conn)
            if checked.wrong:
                raise InvalidJobs(checked.wrong)
            if checked.expects:
                # What a backfill sends of the past is nobody's to expect.
                client.attempt(partial(overdue.find, self.namespace, tells=False, exactly=True), conn)
            stored = client.run(lambda: periodic.stored_jobs(self.namespace), conn)
            live = client.run(lambda: live_jobs.stored(self.namespace), conn) if self.live else []
            held = {job.name for job in stored if job.live}
            jobs = [*live, *(job for job in self.jobs if job.name not in held)]
            summary = Summary(jobs=len(jobs))
            days = client.run(lambda: calendars.needed(jobs), conn)
            paused = {job.name for job in stored if job.paused}
            items = [
                outgoing(job, slot, self.namespace, self.source, self.renderer)
                for job in (each.on(days) for each in jobs if each.name not in paused)
                for slot in slots.between(job, start, end)
            ]
            for positions in chunks(range(len(items)), tick_rounds.SLOTS):
                part = [items[position] for position in positions]
                summary.add(client.attempt(partial(self._fill, part), conn))
        return summary

    def _deploy(self, client: Client, conn: Connection, summary: Summary) -> Deployed:
        """Deploy; again without the jobs of each queue that blocks it."""
        left_alone = frozenset(summary.failed)
        blocked: dict[str, str] = {}
        until = None
        while True:
            work = partial(self.deploys.deploy, left_alone, frozenset(blocked), until)
            try:
                counts, deployed = client.attempt(work, conn)
            except (PgmqError, DriverError) as exc:
                queue_name = faulty_queues.queue_of(exc)
                if queue_name is None or queue_name in blocked:
                    raise
                blocked[queue_name] = f"queue {queue_name!r} blocks its deploy: {words(exc)}"
                continue
            summary.add(counts)
            if isinstance(deployed, Deployed):
                summary.outdated = len(deployed.outdated)
                summary.failed |= {name: [*blocked.values()] for name in sorted(deployed.blocked)}
                summary.failed |= {name: [_HELD] for name in sorted(deployed.held)}
                return deployed
            until = deployed.until
            # Otherwise these would be behind for ever.
            left_alone |= counts.failed.keys()

    def _pause(self, client: Client, conn: Connection, deployed: Deployed, summary: Summary) -> Deployed:
        """Pause jobs with dead letters; those whose queue does not let it are left out, and named."""
        found, summary.unread = client.attempt(partial(dead_slots.find, self.namespace), conn)
        of_queue: dict[str, set[str]] = defaultdict(set)
        for each in found:
            if each.name not in deployed.without:
                of_queue[each.queue_name].add(each.name)
        for queue_name, names in of_queue.items():
            try:
                dead, count = client.attempt(partial(dead_slots.pause, self.namespace, names), conn)
            except (PgmqError, DriverError) as exc:
                if faulty_queues.queue_of(exc) is None:
                    raise
                text = f"queue {queue_name!r} blocks its pause for a dead letter: {words(exc)}"
                summary.failed |= {name: [text] for name in sorted(names)}
                deployed = replace(deployed, without=deployed.without | names)
                continue
            summary.paused += dead
            summary.taken_back += count
        return deployed

    def _go_round(self, client: Client, conn: Connection, deployed: Deployed, summary: Summary) -> None:
        """Send what is due; again without the jobs of each queue that takes no messages."""
        most = tick_rounds.JOBS
        while most:
            try:
                counts, most = client.attempt(partial(self._round, deployed, summary.failed, most), conn)
            except (PgmqError, DriverError) as exc:
                queue_name = faulty_queues.queue_of(exc)
                if queue_name is None:
                    raise
                names = client.attempt(partial(self._sending_to, queue_name), conn) - deployed.without
                if not names:
                    raise
                text = f"queue {queue_name!r} does not take its messages: {words(exc)}"
                summary.failed |= {name: [text] for name in sorted(names)}
                deployed = replace(deployed, without=deployed.without | names)
                continue
            summary.add(counts)
            if counts.failed:
                deployed = replace(deployed, without=deployed.without | counts.failed.keys())

    def _sending_to(self, queue_name: str) -> Flow[frozenset[str]]:
        """Jobs that send to a queue, or wait for their newest message there."""
        now = yield periodic.clock()
        rows = yield periodic.jobs_of_queues(self.namespace, [queue_name], now)
        return frozenset(row["name"] for row in rows if row["sends"] or row["waits"])

    def _fill(self, items: Sequence[Outgoing]) -> Flow[Summary]:
        """Send slots of a backfill, under the namespace's lock if it exists, so that no tick interferes."""
        counts = Summary()
        locked = yield periodic.lock_namespace(self.namespace)
        now = locked["now"] if locked else (yield periodic.clock())
        claims = yield from self.rounds.send(items, now, is_known=locked is not None and locked["known"])
        counts.count(items, claims, now)
        return counts

    def _check(self) -> Flow[_Checked]:
        """What is known before the first round.

        Queues that were lost and made again are recognised, those of the stored jobs too, since a deploy may
        move the jobs to others.
        """
        stored = yield periodic.stored_queues(self.namespace)
        wanted = {job.queue_name for job in self.jobs}
        gone = set((yield from incarnations.recognise(wanted.union(stored))))
        wrong = {job.name: [_no_queue(job.queue_name)] for job in self.jobs if job.queue_name in gone}
        days = yield from calendars.needed(self.jobs)
        for job in filter(lambda job: job.exclude, self.jobs):
            for name in sorted(job.calendar_names - days.keys()):
                wrong.setdefault(job.name, []).append(str(CalendarNotFound(name)))
        live = sum(row["live_jobs"] for row in stored.values())
        if live and (gone or wrong):
            states = yield statements.states(self.namespace, list(wrong))
            wrong = {name: why for name, why in wrong.items() if not states[name]["live"]}
            if self.live:
                sending_there = yield statements.sending(self.namespace, gone)
                wrong |= {name: [_no_queue(queue_name)] for name, queue_name in sending_there.items()}
        expects, pauses = (any(row[name] for row in stored.values()) for name in ("expects", "pauses"))
        return _Checked(wrong, live, expects, pauses)

    def _round(
        self, deployed: Deployed, failed: Mapping[str, list[str]], most: int
    ) -> Flow[tuple[Summary, int]]:
        """Send what is due of some jobs; returns at how many the next round should look."""
        counts = Summary()
        stored = yield periodic.lock_namespace(self.namespace)
        if stored is None or stored["fingerprint"] != deployed.fingerprint:
            # Another tick has deployed between two rounds: it sends the jobs from now on.
            return counts, 0
        window = slots.Window(stored["now"], deployed.horizon, self.grace)
        going: Mapping[str, PeriodicJob] = self.by_name
        if left := deployed.without | deployed.held:
            going = {name: job for name, job in going.items() if name not in left}
        following = yield from self.rounds.advance(
            counts, going, window, is_known=stored["known"], without=sorted(deployed.without), most=most
        )
        if not following:
            is_known = stored["known"] or deployed.is_complete
            yield periodic.close_tick(
                self.namespace,
                self.owner,
                self.version,
                window,
                self.dedup_window,
                is_known=is_known,
                failed={**failed, **counts.failed},
            )
        return counts, following


def _no_queue(name: str) -> str:
    return (
        f"queue {name!r} does not exist in the database of this connection; create it there with "
        f"`{command(f'init {shlex.quote(name)}')}`, and --conn-id for another than pgmq_default"
    )
