"""What is wrong with queues and periodic jobs: decided from facts, with a text and a fix."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from typing import Literal, TypeAlias

from airflow_pgmq.command_line import command
from airflow_pgmq.core import left_out, overdue
from airflow_pgmq.core.messages import Row
from airflow_pgmq.core.overdue import OverdueSlot
from airflow_pgmq.core.wording import number_of
from airflow_pgmq.errors import documentation

Severity: TypeAlias = Literal["error", "warning"]
Failure: TypeAlias = Literal["locked", "slow", "unreadable"]

#: A tick that is later than this is missing, not only slow.
TICK_SILENCE = timedelta(minutes=5)
#: If a next slot is overdue by more than this, the ticks run but do not reach it.
JOB_GRACE = timedelta(minutes=2)
#: Messages that are visible for this long, while none is removed, have no reader.
UNREAD = timedelta(minutes=15)
#: This many minutes with samples count as an hour: the current one and the one before may have none yet.
HOUR = 58
#: Without a sample for this long, rates have a gap and expired messages remain.
MAINTENANCE_SILENCE = timedelta(minutes=10)


@dataclass(frozen=True, slots=True)
class Problem:
    """Something that is wrong, and what to do about it."""

    code: str
    severity: Severity
    text: str
    fix: str

    def as_dict(self) -> dict[str, str]:
        """In JSON types, with the address of more about it."""
        return asdict(self) | {"see": self.address}

    @property
    def address(self) -> str:
        """Where the documentation says more about it."""
        return documentation.help_with(self.code)


@dataclass(frozen=True, slots=True, kw_only=True)
class QueueFacts:
    """What is known of a queue."""

    queue_name: str
    is_dead_letter_queue: bool
    #: Seconds since the first of the visible messages became visible.
    waiting: float | None
    #: Messages that were removed in the last hour, as far as there are samples; None: unknown.
    completed: float | None
    #: Minutes of the last hour that have samples.
    known_minutes: int
    #: Messages that were ever removed, as far as the server's statistics reach back.
    ever_removed: int
    #: None: unknown, because the role may not look.
    dead_letters: int | None
    dead_letters_estimated: bool
    dead_letter_queue: str | None
    readable: bool
    broken_guard: bool
    #: Row level security may hide messages from the role.
    hidden: bool = False
    role: str = ""
    paused: bool = False
    #: Problems of its tables, and of looking at them.
    found: Sequence[Problem] = ()


def of_queue(facts: QueueFacts) -> Iterator[Problem]:
    """What is wrong with a queue."""
    name = facts.queue_name
    yield from facts.found
    if facts.hidden:
        yield hidden([f"the messages of queue {name}"], facts.role)
    if not facts.readable:
        yield Problem(
            "no_access",
            "warning",
            f"The role of this connection may not read queue {name}.",
            f"{documentation.PERMISSIONS} has the GRANTs for looking.",
        )
    if facts.broken_guard:
        yield Problem(
            "missing_guard",
            "error",
            f"The unique index behind dedup_scope='queued' of queue {name} is invalid: sends with it fail.",
            f"Let the queue's owner run PgmqHook().guard_queue({name!r}) in a task.",
        )
    if _is_unread(facts):
        yield Problem(
            "nobody_reads",
            "error",
            f"Messages of queue {name} have been waiting for {duration(facts.waiting or 0)} and nobody has "
            f"{_since(facts)}.",
            "Start or fix the queue's consumer.",
        )
    if facts.dead_letters:
        yield Problem(
            "dead_letters",
            "warning",
            f"{'About ' if facts.dead_letters_estimated else ''}"
            f"{number_of(facts.dead_letters, 'dead letter waits', 'dead letters wait')} in "
            f"{facts.dead_letter_queue}.",
            "Read their reasons, fix the cause, then requeue or delete them.",
        )


def recreated(row: Row) -> Problem:
    """The problem of a queue that was lost and made again."""
    name = row["queue_name"]
    if row["settled"]:
        return Problem(
            "recreated_queue",
            "warning",
            f"Queue {name} was lost and made again, or a crash emptied it, at "
            f"{row['recreated_at']:%Y-%m-%d %H:%M} UTC. Since then its dedup keys are free, and future slots "
            "were sent again.",
            f"If that was not intended, {documentation.BACKUP} says what can be recovered.",
        )
    return Problem(
        "unknown_queue",
        "warning",
        f"Queue {name} is not the one that was known: it was dropped and made again, restored, or emptied by "
        "a crash.",
        "The next tick or keyed send finds out which, and sends slots again that were lost: "
        f"{documentation.BACKUP}.",
    )


def hidden(what: Sequence[str], role: str) -> Problem:
    """The problem of hidden rows: row level security gives no error, the rows are only missing."""
    return Problem(
        "row_security",
        "warning",
        f"Row level security hides some or all rows from role {role!r}: {', '.join(what)}.",
        f"{documentation.PERMISSIONS} has the policies; `{command('doctor')}` prints those that are missing.",
    )


def failed(queue_name: str, code: Failure, why: str) -> Problem:
    """The problem of a queue that was left out because looking at it failed."""
    fixes = {
        "locked": "Nothing, if that is VACUUM FULL or a migration; pg_locks tells who it is.",
        "slow": "See what keeps the database busy, and whether the policies of row level security are cheap.",
        "unreadable": f"Make its tables as PGMQ makes them, or grant rights: {documentation.PERMISSIONS}.",
    }
    return Problem(
        code, "warning", f"Queue {queue_name} could not be looked at: {why.rstrip('.')}.", fixes[code]
    )


def _is_unread(facts: QueueFacts) -> bool:
    if facts.paused or facts.is_dead_letter_queue or facts.waiting is None:
        return False
    if facts.waiting < UNREAD.total_seconds():
        return False
    # Without samples, only a queue from which no message was ever removed certainly has no reader.
    return facts.ever_removed == 0 if facts.completed is None else facts.completed == 0


def _since(facts: QueueFacts) -> str:
    """Since when no message was removed, as far as that is known."""
    if facts.completed is None:
        return "ever removed any, as far as the server's statistics reach back"
    if facts.known_minutes >= HOUR:
        return "removed any in the last hour"
    return f"removed any in the {facts.known_minutes} minutes of the last hour that have samples"


def of_job(
    *, paused: bool, next_slot: datetime | None, ticked_at: datetime, now: datetime
) -> Iterator[Problem]:
    """What is wrong with a job whose namespace is ticked."""
    if paused or next_slot is None or now - next_slot <= JOB_GRACE or now - ticked_at > TICK_SILENCE:
        return
    overdue = duration((now - next_slot).total_seconds())
    yield Problem(
        "job_behind",
        "error",
        f"The slot of {next_slot:%Y-%m-%d %H:%M} UTC is overdue by {overdue}.",
        "See why the ticking task does not get to it: its log names what it sends.",
    )


def overdue_slots(found: Sequence[OverdueSlot]) -> Iterator[Problem]:
    """What is wrong with slots that were not acked within their job's `expect_within`."""
    seen = [each for each in found if each.state != "unknown"]
    if seen:
        fixes = {
            "not_sent": "See whether the ticking task runs, and what its log says of the job.",
            "dead": "Read the reason of the dead letter, fix the cause, then requeue or delete it.",
        }
        fix = fixes.get(seen[0].state, "Start or fix the queue's consumer.")
        yield Problem("overdue", "error", overdue.summary(seen), fix)
    if unknown := [each for each in found if each.state == "unknown"]:
        yield Problem(
            "overdue_unknown",
            "warning",
            f"Whether slots are overdue is unknown. {overdue.summary(unknown)}",
            f"{documentation.PERMISSIONS} has the GRANTs; somebody may also hold a lock on the queue.",
        )


def unreadable_job(why: str) -> Problem:
    """The problem of a stored job whose slots this code cannot compute."""
    return Problem(
        "unreadable_job",
        "warning",
        f"This version of airflow_pgmq cannot read the job as it was deployed, so no slots are shown: {why}.",
        "Upgrade the package here to the version that the job's Dag runs with.",
    )


def without_calendar(names: Sequence[str]) -> Problem:
    """The problem of a job whose calendar is missing: which slots it has is unknown, so none is sent."""
    return Problem(
        "missing_calendar",
        "error",
        f"The job waits for a calendar that does not exist: {', '.join(names)}.",
        f"Make it with `{command(f'calendars put {shlex.quote(names[0])} FILE')}`, or change the job.",
    )


def of_namespace(
    *, namespace: str, owner: str, ticked_at: datetime, now: datetime, failed: str
) -> Iterator[Problem]:
    """What is wrong with a set of jobs.

    :param failed: jobs that the last tick left out, as they are stored
    """
    if text := left_out.told(failed):
        yield Problem(
            "left_out",
            "error",
            text if not owner else f"{owner}, namespace {namespace}: {text}",
            "Correct them; the next tick catches up by each job's policy. Its log names all of them.",
        )
    if not owner:
        yield Problem(
            "not_ticking",
            "error",
            f"No Dag ticks namespace {namespace}, so its live jobs wait.",
            f"Add PgmqPeriodicOperator(task_id='tick', namespace={namespace!r}, live=True) to a Dag that "
            "runs every minute.",
        )
    elif now - ticked_at > TICK_SILENCE:
        silent = duration((now - ticked_at).total_seconds())
        yield Problem(
            "not_ticking",
            "error",
            f"{owner} has not ticked namespace {namespace} for {silent}.",
            "Unpause the Dag and see whether its runs fail; if it is gone for good, remove the namespace.",
        )


def of_schema(*, installed: bool, maintained: datetime | None, now: datetime) -> Iterator[Problem]:
    """What is wrong with the database as a whole."""
    if not installed:
        yield Problem(
            "not_installed",
            "warning",
            "The schema airflow_pgmq is missing or old: no rates, no history, no periodic jobs.",
            f"Run `{command('init')}` with a role that may create schemas.",
        )
    elif maintained is None or now - maintained > MAINTENANCE_SILENCE:
        yield Problem(
            "not_maintained",
            "warning",
            "Nobody takes samples of the queues, so there are no rates, and expired messages stay.",
            "Let a Dag with a PgmqMaintenanceOperator run every minute, or "
            f"`{command('maintain')}`. {documentation.MAINTENANCE} has the Dag.",
        )


def duration(seconds: float) -> str:
    """A duration for people: the largest unit, and the next smaller one if it is not 0."""
    left = max(0, int(seconds))
    parts: list[str] = []
    for unit, size in (("d", 86_400), ("h", 3600), ("min", 60), ("s", 1)):
        count, left = divmod(left, size)
        if count or parts:
            parts.append(f"{count} {unit}" if count else "")
    return " ".join(filter(None, parts[:2])) or "0 s"
