"""What is wrong with queues and periodic jobs: decided from facts, with a text and a fix."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Literal, TypeAlias

from airflow_pgmq.command_line import command
from airflow_pgmq.core import left_out, overdue
from airflow_pgmq.core.messages import Row
from airflow_pgmq.core.overdue import OverdueSlot
from airflow_pgmq.core.wording import Sentence, sentence
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

    def as_dict(self) -> dict[str, Any]:
        """In JSON types, with the address of more about it, and of what its texts are made."""
        texts = {"text": self.text, "fix": self.fix}
        said = {
            name: {"template": text.template, "values": dict(text.values)}
            for name, text in texts.items()
            if isinstance(text, Sentence)
        }
        return {"code": self.code, "severity": self.severity, **texts, "see": self.address, "said": said}

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
            sentence("The role of this connection may not read queue {queue}.", queue=name),
            sentence("{page} has the GRANTs for looking.", page=documentation.PERMISSIONS),
        )
    if facts.broken_guard:
        yield Problem(
            "missing_guard",
            "error",
            sentence(
                "The unique index behind dedup_scope='queued' of queue {queue} is invalid: sends with it "
                "fail.",
                queue=name,
            ),
            sentence("Let the queue's owner run {call} in a task.", call=f"PgmqHook().guard_queue({name!r})"),
        )
    if _is_unread(facts):
        yield Problem(
            "nobody_reads",
            "error",
            _unread(facts),
            sentence("Start or fix the queue's consumer."),
        )
    if facts.dead_letters:
        yield Problem(
            "dead_letters",
            "warning",
            _dead_letters(facts.dead_letters, facts.dead_letter_queue or "", facts.dead_letters_estimated),
            sentence("Read their reasons, fix the cause, then requeue or delete them."),
        )


def recreated(row: Row) -> Problem:
    """The problem of a queue that was lost and made again."""
    name = row["queue_name"]
    if row["settled"]:
        return Problem(
            "recreated_queue",
            "warning",
            sentence(
                "Queue {queue} was lost and made again, or a crash emptied it, at {time} UTC. Since then its "
                "dedup keys are free, and future slots were sent again.",
                queue=name,
                time=f"{row['recreated_at']:%Y-%m-%d %H:%M}",
            ),
            sentence(
                "If that was not intended, {page} says what can be recovered.", page=documentation.BACKUP
            ),
        )
    return Problem(
        "unknown_queue",
        "warning",
        sentence(
            "Queue {queue} is not the one that was known: it was dropped and made again, restored, or "
            "emptied by a crash.",
            queue=name,
        ),
        sentence(
            "The next tick or keyed send finds out which, and sends slots again that were lost: {page}.",
            page=documentation.BACKUP,
        ),
    )


def hidden(what: Sequence[str], role: str) -> Problem:
    """The problem of hidden rows: row level security gives no error, the rows are only missing."""
    return Problem(
        "row_security",
        "warning",
        sentence(
            "Row level security hides some or all rows from role {role}: {what}.",
            role=repr(role),
            what=", ".join(what),
        ),
        sentence(
            "{page} has the policies; `{command}` prints those that are missing.",
            page=documentation.PERMISSIONS,
            command=command("doctor"),
        ),
    )


def failed(queue_name: str, code: Failure, why: str) -> Problem:
    """The problem of a queue that was left out because looking at it failed."""
    fixes = {
        "locked": sentence("Nothing, if that is VACUUM FULL or a migration; pg_locks tells who it is."),
        "slow": sentence(
            "See what keeps the database busy, and whether the policies of row level security are cheap."
        ),
        "unreadable": sentence(
            "Make its tables as PGMQ makes them, or grant rights: {page}.", page=documentation.PERMISSIONS
        ),
    }
    text = sentence(
        "Queue {queue} could not be looked at: {reason}.", queue=queue_name, reason=why.rstrip(".")
    )
    return Problem(code, "warning", text, fixes[code])


def _is_unread(facts: QueueFacts) -> bool:
    if facts.paused or facts.is_dead_letter_queue or facts.waiting is None:
        return False
    if facts.waiting < UNREAD.total_seconds():
        return False
    # Without samples, only a queue from which no message was ever removed certainly has no reader.
    return facts.ever_removed == 0 if facts.completed is None else facts.completed == 0


def _unread(facts: QueueFacts) -> Sentence:
    """For how long no message was removed, as far as that is known."""
    queue, time = facts.queue_name, duration(facts.waiting or 0)
    if facts.completed is None:
        return sentence(
            "Messages of queue {queue} have been waiting for {time} and nobody has ever removed any, as far "
            "as the server's statistics reach back.",
            queue=queue,
            time=time,
        )
    if facts.known_minutes >= HOUR:
        return sentence(
            "Messages of queue {queue} have been waiting for {time} and nobody has removed any in the last "
            "hour.",
            queue=queue,
            time=time,
        )
    return sentence(
        "Messages of queue {queue} have been waiting for {time} and nobody has removed any in the {minutes} "
        "minutes of the last hour that have samples.",
        queue=queue,
        time=time,
        minutes=facts.known_minutes,
    )


def _dead_letters(count: int, queue: str, is_estimate: bool) -> Sentence:
    if is_estimate:
        return sentence(
            "About {count} dead letters wait in {queue}.",
            one="About {count} dead letter waits in {queue}.",
            count=count,
            queue=queue,
        )
    return sentence(
        "{count} dead letters wait in {queue}.",
        one="{count} dead letter waits in {queue}.",
        count=count,
        queue=queue,
    )


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
        sentence(
            "The slot of {slot} UTC is overdue by {time}.", slot=f"{next_slot:%Y-%m-%d %H:%M}", time=overdue
        ),
        sentence("See why the ticking task does not get to it: its log names what it sends."),
    )


def overdue_slots(found: Sequence[OverdueSlot]) -> Iterator[Problem]:
    """What is wrong with slots that were not acked within their job's `expect_within`."""
    seen = [each for each in found if each.state != "unknown"]
    if seen:
        fixes = {
            "not_sent": sentence("See whether the ticking task runs, and what its log says of the job."),
            "dead": sentence("Read the reason of the dead letter, fix the cause, then requeue or delete it."),
        }
        fix = fixes.get(seen[0].state, sentence("Start or fix the queue's consumer."))
        yield Problem("overdue", "error", overdue.summary(seen), fix)
    if unknown := [each for each in found if each.state == "unknown"]:
        yield Problem(
            "overdue_unknown",
            "warning",
            sentence("Whether slots are overdue is unknown. {why}", why=overdue.summary(unknown)),
            sentence(
                "{page} has the GRANTs; somebody may also hold a lock on the queue.",
                page=documentation.PERMISSIONS,
            ),
        )


def unreadable_job(why: str) -> Problem:
    """The problem of a stored job whose slots this code cannot compute."""
    return Problem(
        "unreadable_job",
        "warning",
        sentence(
            "This version of airflow_pgmq cannot read the job as it was deployed, so no slots are shown: "
            "{why}.",
            why=why,
        ),
        sentence("Upgrade the package here to the version that the job's Dag runs with."),
    )


def without_calendar(names: Sequence[str]) -> Problem:
    """The problem of a job whose calendar is missing: which slots it has is unknown, so none is sent."""
    return Problem(
        "missing_calendar",
        "error",
        sentence("The job waits for a calendar that does not exist: {names}.", names=", ".join(names)),
        sentence(
            "Make it with `{command}`, or change the job.",
            command=command(f"calendars put {shlex.quote(names[0])} FILE"),
        ),
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
            sentence(
                "Correct them; the next tick catches up by each job's policy. Its log names all of them."
            ),
        )
    if not owner:
        yield Problem(
            "not_ticking",
            "error",
            sentence("No Dag ticks namespace {namespace}, so its live jobs wait.", namespace=namespace),
            sentence(
                "Add {call} to a Dag that runs every minute.",
                call=f"PgmqPeriodicOperator(task_id='tick', namespace={namespace!r}, live=True)",
            ),
        )
    elif now - ticked_at > TICK_SILENCE:
        silent = duration((now - ticked_at).total_seconds())
        yield Problem(
            "not_ticking",
            "error",
            sentence(
                "{owner} has not ticked namespace {namespace} for {time}.",
                owner=owner,
                namespace=namespace,
                time=silent,
            ),
            sentence(
                "Unpause the Dag and see whether its runs fail; if it is gone for good, remove the namespace."
            ),
        )


def of_schema(*, installed: bool, maintained: datetime | None, now: datetime) -> Iterator[Problem]:
    """What is wrong with the database as a whole."""
    if not installed:
        yield Problem(
            "not_installed",
            "warning",
            sentence("The schema airflow_pgmq is missing or old: no rates, no history, no periodic jobs."),
            sentence("Run `{command}` with a role that may create schemas.", command=command("init")),
        )
    elif maintained is None or now - maintained > MAINTENANCE_SILENCE:
        yield Problem(
            "not_maintained",
            "warning",
            sentence("Nobody takes samples of the queues, so there are no rates, and expired messages stay."),
            sentence(
                "Let a Dag with a PgmqMaintenanceOperator run every minute, or `{command}`. {page} has the "
                "Dag.",
                command=command("maintain"),
                page=documentation.MAINTENANCE,
            ),
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
