"""Jobs that a tick pauses, because messages of their slots became dead letters."""

from __future__ import annotations

from dataclasses import dataclass

from airflow_pgmq.core.problems import Problem


@dataclass(frozen=True, slots=True, kw_only=True)
class DeadSlots:
    """Slots of a job whose messages became dead letters since the job was resumed, or asked for the pause."""

    #: The job.
    name: str
    queue_name: str
    dead_letter_queue: str
    #: The first of them, as in its dedup key.
    slot: str
    #: How many there are.
    letters: int

    def __str__(self) -> str:
        """Why the job is paused; only names, numbers and times, so that everybody may read it."""
        where = f"in queue {self.dead_letter_queue}"
        if self.letters == 1:
            return f"the message of slot {self.slot} became a dead letter {where}"
        return f"{self.letters} messages became dead letters {where}, that of slot {self.slot} first"


def paused(why: str) -> Problem:
    """The problem of a job that a tick has paused."""
    return Problem(
        "paused_for_dead_letter",
        "warning",
        f"A tick has paused the job: {why}.",
        "Correct what made the message fail, then resume the job, and requeue or delete the dead letters.",
    )
