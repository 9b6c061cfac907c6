"""The first step of a tick: the stored jobs are made the same as the code's, in one transaction."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from airflow_pgmq.core import deploys, slots
from airflow_pgmq.core.deploys import Deploy
from airflow_pgmq.core.job_problems import MAX_JITTER
from airflow_pgmq.core.jobs import PeriodicJob
from airflow_pgmq.core.messages import Row
from airflow_pgmq.core.summary import Summary
from airflow_pgmq.db.statements import Flow, periodic
from airflow_pgmq.errors import NamespaceTaken
from airflow_pgmq.services.replacing import Behind, Replacement
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
    #: Jobs of the code whose names live jobs hold: those are ticked instead.
    held: frozenset[str] = frozenset()

    @property
    def is_complete(self) -> bool:
        """Whether the tick looks at every job: only then do we know every slot that was sent."""
        return not self.without


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
        everything = yield periodic.stored_jobs(self.namespace)
        known = {job.name: job for job in everything if not job.live}
        held = frozenset(job.name for job in everything if job.live and job.name in self.by_name)
        declared = {name: job for name, job in self.by_name.items() if name not in held}
        # Who puts the first live job registers a namespace without a version.
        stored_version = stored["version"] if stored["owner"] else self.version
        rollback = self.rollback and now - stored["version_ticked_at"] >= SILENT
        change = deploys.deploy(
            declared, known, version=self.version, stored_version=stored_version, rollback=rollback
        ).without(left_alone)
        names = yield from self._blocked(blocked, change, now)
        change = change.without(names)
        replacement = Replacement(
            by_name=self.by_name, grace=self.grace, rounds=self.rounds, now=now, is_known=stored["known"]
        )
        behind = yield from replacement.run(counts, known, change, until)
        if behind is not None:
            return counts, behind
        without = left_alone | names | change.outdated | counts.failed.keys()
        deployed = replace(deployed, outdated=change.outdated, blocked=names, without=without, held=held)
        if self.version < stored_version and not rollback:
            return counts, replace(deployed, fingerprint=stored["fingerprint"])
        version = self.version
        if left := sorted(without | held):
            # While jobs are left alone, every tick has to compare again, and a rollback is not complete.
            digest = hashlib.sha256(repr(left).encode()).hexdigest()[:8]
            deployed = replace(deployed, fingerprint=f"partly {digest} {fingerprint}")
            version = max(version, stored_version)
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

    def _note_outside_changes(self, stored: Row, window: slots.Window) -> Flow[None]:
        """Note a clock that went back, queues that were lost, and a restored database."""
        if stored["went_back"]:
            yield periodic.reset_after_clock_change(self.namespace, window)
        if stored["newest_incarnation"] > stored["incarnation"]:
            yield periodic.note_lost(self.namespace, stored["newest_incarnation"])
        if stored["restored"]:
            yield from periodic.resend_missing(self.namespace, window.now)

    def _check_owner(self, stored: Row) -> None:
        if stored["owner"] not in ("", self.owner) and stored["now"] - stored["ticked_at"] < SILENT:
            raise NamespaceTaken(
                f"Namespace {self.namespace!r} is ticked by {stored['owner']!r}, so {self.owner!r} must not: "
                "each would take back the other's messages. Give one of them another namespace=. After a "
                "rename, this works once the old name has been silent for "
                f"{SILENT.total_seconds() / 60:.0f} minutes."
            )
