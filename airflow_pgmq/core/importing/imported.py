"""What an import gives: jobs, what was refused and why, and what somebody should check."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from airflow_pgmq.core.job_problems import MAX_AGE
from airflow_pgmq.core.jobs import PeriodicJob
from airflow_pgmq.core.message_template import is_template
from airflow_pgmq.core.names import JOB_NAME

#: A name says what the job is; a whole command would fill the page.
_LONGEST_NAME = 60
#: A name that is one already stays, if there is room for a number.
_LONGEST_KEPT = 90
#: Characters of an original text that are handed on.
_LONGEST_TEXT = 500
_NOT_IN_NAMES = re.compile(r"[^A-Za-z0-9_.]+")


@dataclass(frozen=True)
class Refused:
    """An entry that became no job.

    :param source: its line or its name
    :param text: as it was written
    :param why: what could not be translated, and what to do
    """

    source: str
    text: str
    why: str


@dataclass(frozen=True)
class Imported:
    """All that was found: each entry is a job or was refused."""

    jobs: tuple[PeriodicJob, ...] = ()
    refused: tuple[Refused, ...] = ()
    #: What was translated, but may not be the same.
    notes: tuple[str, ...] = ()


class Untranslatable(ValueError):
    """An entry cannot become a job; its text says why, and what to do."""


class Intake:
    """Collects what a module of this package finds."""

    def __init__(self, queue_name: str, timezone: str) -> None:
        self._common = {"queue_name": queue_name, "timezone": timezone}
        self._jobs: list[PeriodicJob] = []
        self._refused: list[Refused] = []
        self._notes: list[str] = []
        self._names: set[str] = set()
        self._numbers: dict[str, int] = {}

    def take(self, source: str, text: str, name: str, message: dict[str, Any], **fields: Any) -> None:
        """Make a job of an entry, or refuse it with what is wrong with the job.

        :param name: what its name is made of
        """
        try:
            message, params = _literal(message)
        except Untranslatable as exc:
            self.refuse(source, text, str(exc))
            return
        fields = {**self._common, **fields, "params": params or None}
        job = PeriodicJob(name=self._free(_slug(name)), message=message, **fields)
        if problems := job.problems():
            self.refuse(source, text, "; ".join(problems))
            return
        self._names.add(job.name)
        self._jobs.append(job)
        for doubt in job.doubts():
            self.note(source, doubt)

    def refuse(self, source: str, text: str, why: str) -> None:
        """Say why an entry became no job."""
        self._refused.append(Refused(source[:_LONGEST_TEXT], text[:_LONGEST_TEXT], why))

    def note(self, source: str, text: str) -> None:
        """Say what somebody should check."""
        self._notes.append(f"{source[:_LONGEST_TEXT]}: {text}")

    def imported(self) -> Imported:
        """All of it."""
        return Imported(tuple(self._jobs), tuple(self._refused), tuple(self._notes))

    def _free(self, slug: str) -> str:
        """The name itself for the first that has it, with a number for the others."""
        name = slug
        while name in self._names:
            self._numbers[slug] = self._numbers.get(slug, 1) + 1
            name = f"{slug}-{self._numbers[slug]}"
        return name


def _slug(text: str) -> str:
    if len(text) <= _LONGEST_KEPT and JOB_NAME.fullmatch(text):
        return text
    words = _NOT_IN_NAMES.sub("-", text[:1000])
    return words.lstrip("-_.")[:_LONGEST_NAME].rstrip("-_.") or "job"


def duration_problem(seconds: float) -> str | None:
    """Why a number of seconds cannot be a duration, or None; NaN and infinity cannot, either."""
    if 0 < seconds <= MAX_AGE.total_seconds():
        return None
    return f"{seconds!r} seconds is not between 0 and ten years"


def _literal(message: dict[str, Any]) -> tuple[dict[str, Any], dict[str, str]]:
    """The message, with texts that look like templates in `params`, from where they come as they are.

    `docker ps --format '{{.Names}}'` is a usual command, and would fail as a template.
    """
    params: dict[str, str] = {}

    def literal(value: Any) -> Any:
        if isinstance(value, str) and is_template(value):
            name = f"text_{len(params) + 1}"
            params[name] = value
            return f"{{{{ params.{name} }}}}"
        if isinstance(value, list):
            return [literal(each) for each in value]
        if isinstance(value, dict):
            if wrong := next((key for key in value if is_template(str(key))), None):
                raise Untranslatable(
                    f"the key {wrong!r} looks like a template, and only values may: give it another name"
                )
            return {key: literal(each) for key, each in value.items()}
        return value

    try:
        return {key: literal(value) for key, value in message.items()}, params
    except RecursionError:
        raise Untranslatable("its arguments are nested too deeply: make them flatter") from None
