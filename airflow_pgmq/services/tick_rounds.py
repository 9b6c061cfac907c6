"""One round of a tick, a transaction: sends slots that are due, or to be sent again, of some jobs."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from math import inf
from typing import Any

from airflow_pgmq.core import slots, stored_jobs
from airflow_pgmq.core.ahead import Ahead
from airflow_pgmq.core.dedup import Claim
from airflow_pgmq.core.due_messages import due_messages, in_parts
from airflow_pgmq.core.jobs import PeriodicJob
from airflow_pgmq.core.message_template import Renderer
from airflow_pgmq.core.messages import Row
from airflow_pgmq.core.slot_messages import Outgoing, by_queue, outgoing
from airflow_pgmq.core.stored_jobs import UNREADABLE, unreadable
from airflow_pgmq.core.summary import Summary
from airflow_pgmq.db.statements import Flow, Steps, periodic, queues
from airflow_pgmq.errors import CalendarNotFound
from airflow_pgmq.services import calendars

#: Jobs and slots of one round: bounds its transaction and its memory.
JOBS = 5000
SLOTS = 5000
#: Slots that are computed in one round, most of them left out after an outage: a tenth of a second.
COMPUTED = 20_000
#: Jobs whose slots are sent in one statement; those of the next one are computed while the server works.
AT_ONCE = 500


@dataclass(frozen=True, kw_only=True)
class Rounds:
    """How a namespace's slots are sent, under its lock."""

    namespace: str
    look_ahead: timedelta
    dedup_window: timedelta
    source: Mapping[str, Any] | None
    #: The queues of its jobs.
    queue_names: frozenset[str]
    #: Renders jobs with templates.
    renderer: Renderer | None = None

    def advance(
        self,
        counts: Summary,
        going: Mapping[str, PeriodicJob],
        window: slots.Window,
        *,
        is_known: bool,
        only: Sequence[str] | None = None,
        without: Sequence[str] = (),
        bounded: bool = True,
        most: int | None = None,
    ) -> Flow[int]:
        """Send slots of these jobs that are due or to be sent again, move watermarks.

        Of live jobs, too, unless `only` names others. Returns at how many jobs the next round should look,
        0 if nothing more is due.

        :param most: look at no more jobs; the usual number by default
        """
        limit = min(JOBS, most or JOBS) if bounded else None
        rows = yield periodic.due_jobs(self.namespace, window, only=only, without=without, limit=limit)
        found = yield from _with_calendars(counts, rows, going)
        busy = yield from self._busy([row for row in rows if row["name"] in found], found, window.now)
        make = partial(outgoing, namespace=self.namespace, source=self.source, renderer=self.renderer)
        computed = (
            due_messages(job, row, window, make, is_busy=job.name in busy)
            for row in rows
            if (job := found.get(row["name"])) is not None
        )
        ahead = Ahead(computed, AT_ONCE, lambda each: max(1, each.computed))
        moved = 0
        # If queues must be searched, as for slots whose messages were lost with theirs, then once for all.
        is_known = is_known and not any(row["lost"] for row in rows if row["name"] in found)
        size = AT_ONCE if bounded and is_known else len(rows)
        sent, worked = (SLOTS, COMPUTED) if bounded else (inf, inf)
        for part, is_last in in_parts(ahead, size, most_sent=sent, most_computed=worked):
            steps = None if is_last else ahead.steps
            items = [item for each in part for item in each.items]
            states = [each.state for each in part if each.state is not None]
            to_resend = [(each.name, slot) for each in part for slot in each.resent]
            claims = yield from self.send(items, window.now, is_known=is_known, meanwhile=steps)
            if states:
                yield periodic.advance_jobs(self.namespace, window.now, states, steps)
            if to_resend:
                yield periodic.free_slots(self.namespace, to_resend)
            counts.failed |= {each.name: each.failed for each in part if each.failed}
            counts.dropped += sum(each.dropped for each in part)
            counts.count(items, claims, window.now)
            moved += len(states)
        is_more = bounded and (moved < len(rows) or len(rows) == limit)
        # Jobs with many slots fill a round, and the others were read in vain.
        return max(AT_ONCE, 2 * moved) if is_more else 0

    def _busy(self, rows: Sequence[Row], by_name: Mapping[str, PeriodicJob], now: datetime) -> Flow[set[str]]:
        """Jobs that must not overlap, whose newest message is still in the queue that it was sent to.

        With `queue_one` only if it waits there.
        """
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
            for msg_id, is_at_work in (yield periodic.still_queued(queue_name, keys, now)).items():
                name = by_id[msg_id]["name"]
                if by_name[name].overlap == "skip" or not is_at_work:
                    busy.add(name)
        return busy

    def send(
        self, items: Sequence[Outgoing], now: datetime, *, is_known: bool, meanwhile: Steps | None = None
    ) -> Flow[dict[str, Claim]]:
        """Send what has not expired; returns the claim of each, by key.

        :param is_known: whether we know every slot that was sent; otherwise the queues are searched first
        :param meanwhile: steps of work to take while the server sends
        """
        claims: dict[str, Claim] = {}
        wanted = [item for item in items if not item.is_expired(now)]
        if wanted and not is_known:
            yield from self._adopt(wanted, now)
        for queue_name, queued in by_queue(wanted).items():
            claims |= yield from periodic.send(
                self.namespace, queue_name, queued, now=now, window=self.dedup_window, meanwhile=meanwhile
            )
        # The page shows these as duplicates: slots that were sent, and enqueued again.
        again = sorted(
            {(item.job.name, item.slot) for item in items if claims.get(item.key, ("",))[0] == "duplicate"}
        )
        if again:
            yield periodic.note_repeats(self.namespace, again)
        return claims

    def _adopt(self, wanted: Sequence[Outgoing], now: datetime) -> Flow[None]:
        """Search the queues of the code's jobs and of the stored jobs for messages of these slots.

        Slots whose messages are found are noted as sent.
        """
        stored = yield periodic.stored_queues(self.namespace)
        named = {*self.queue_names, *stored, *(item.job.queue_name for item in wanted)}
        # Nothing was archived before it was enqueued.
        since = min(now, *(item.slot for item in wanted)) - self.look_ahead
        for queue_name in sorted(named - set((yield queues.missing(named)))):
            yield from periodic.adopt(
                self.namespace, queue_name, wanted, since=since, now=now, window=self.dedup_window
            )


def _with_calendars(
    counts: Summary, rows: Sequence[Row], going: Mapping[str, PeriodicJob]
) -> Flow[dict[str, PeriodicJob]]:
    """The jobs of these rows with their calendars; those of live jobs that cannot be computed have failed."""
    read: dict[str, PeriodicJob] = {}
    for row in rows:
        name = row["name"]
        if name in going:
            read[name] = going[name]
            continue
        try:
            read[name] = stored_jobs.read(name, row["definition"])
        except UNREADABLE as exc:
            counts.failed[name] = [f"this version of airflow_pgmq cannot read it: {unreadable(exc)}"]
    days = yield from calendars.needed(read.values())
    found: dict[str, PeriodicJob] = {}
    for name, job in read.items():
        if job.exclude and (missing := sorted(job.calendar_names - days.keys())):
            counts.failed[name] = [str(CalendarNotFound(each)) for each in missing]
        else:
            found[name] = job.on(days)
    return found
