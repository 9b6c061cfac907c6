"""A task's jobs, and the text that Airflow stores and shows of them."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Sequence
from datetime import timedelta
from functools import cached_property
from typing import Any, overload

from airflow_pgmq.core import payload
from airflow_pgmq.core.deploys import set_fingerprint
from airflow_pgmq.core.jobs import PeriodicJob
from airflow_pgmq.core.redaction import redact
from airflow_pgmq.core.wording import number_of

#: More jobs than this are counted, not listed.
MOST_LISTED = 100
#: Airflow's default of `[core] max_templated_field_length`.
LONGEST = 4096
LONGEST_DOCUMENTATION = 50_000
#: Characters of a value that are shown; a message longer than the second limit is not parsed for that.
SHOWN, READ = 120, 20_000
_PLACED = frozenset({"cron", "schedule", "templates", "queue_name", "timezone"})
_DURATIONS = frozenset({"ttl", "jitter", "catch_up_max_age", "expect_within"})


class JobList(Sequence[PeriodicJob]):
    """The jobs of a task, of which Airflow stores a digest and a text.

    Airflow makes a new version of a Dag when what it stores differs. So both change only when a deploy sees
    a change: the order of jobs, of keys or of a set does not matter.

    :param longest: how long the text may be; Airflow would cut it, in the middle of a job
    :param hidden: JSON keys whose values are not shown
    """

    def __init__(
        self, jobs: Sequence[PeriodicJob], *, longest: int = LONGEST, hidden: Collection[str] = ()
    ) -> None:
        self._jobs = list(jobs)
        self._longest = longest
        self._hidden = hidden

    @overload
    def __getitem__(self, index: int) -> PeriodicJob: ...

    @overload
    def __getitem__(self, index: slice) -> list[PeriodicJob]: ...

    def __getitem__(self, index: int | slice) -> PeriodicJob | list[PeriodicJob]:
        return self._jobs[index]

    def __len__(self) -> int:
        return len(self._jobs)

    def __iter__(self) -> Iterator[PeriodicJob]:
        # That of a Sequence takes five times as long, and a tick goes through 100,000 jobs several times.
        return iter(self._jobs)

    def __repr__(self) -> str:
        return f"<{self._head}>"

    @cached_property
    def digest(self) -> str:
        """Changes when anything of any job changes."""
        return set_fingerprint(sorted(self._jobs, key=lambda job: job.name))

    def serialize(self) -> str:
        """What Airflow stores and shows; it looks for a method of this name."""
        return self.text(self._longest)

    def text(self, longest: int) -> str:
        """Queue by queue: each job with as much detail as fits; many jobs are only counted."""
        if len(self) <= MOST_LISTED:
            for describe in (self._whole, _schedule, _name):
                lines = "\n".join([self._head, *self._listed(describe)])
                if len(lines) <= longest:
                    return lines
        return "\n".join([self._head, *self._counted(longest - len(self._head))])

    def markdown(self) -> str:
        """A task's documentation: the text as a list of code, since Airflow breaks no lines in other code."""
        head, *lines = self.text(LONGEST_DOCUMENTATION).split("\n")
        return "\n".join([head, "", *map(_item, lines)])

    @property
    def _head(self) -> str:
        return f"{number_of(len(self), 'periodic job')}, digest {self.digest}"

    def _listed(self, describe: Callable[[PeriodicJob], str]) -> Iterator[str]:
        queue_name = None
        for job in sorted(self._jobs, key=lambda job: (job.queue_name, job.name)):
            if job.queue_name != queue_name:
                queue_name = job.queue_name
                yield f"queue {queue_name}"
            yield f"  {describe(job)}"

    def _counted(self, room: int) -> Iterator[str]:
        counts = Counter(job.queue_name for job in self._jobs)
        biggest = sorted(counts.items(), key=lambda each: (-each[1], each[0]))
        for shown, (queue_name, count) in enumerate(biggest):
            line = f"queue {queue_name}: {number_of(count, 'job')}"
            rest = f"and {number_of(len(biggest) - shown, 'more queue')}"
            room -= len(line) + 1
            if room < len(rest) + 1 and shown < len(biggest) - 1:
                yield rest
                return
            yield line

    def _whole(self, job: PeriodicJob) -> str:
        """The schedule, the message, and all other settings that are not the defaults."""
        return " | ".join([_schedule(job), *self._settings(job)])

    def _settings(self, job: PeriodicJob) -> Iterator[str]:
        # Not the job's fields: to a deploy, `seconds=None` and "last" are the same.
        defined = _definition(job)
        if (message := defined.pop("message")) != "{}":
            yield self._json(message)
        for name, value in defined.items():
            if name not in _PLACED and value is not None and value != _DEFAULTS.get(name):
                yield f"{name}={self._value(name, value)}"

    def _value(self, name: str, value: Any) -> str:
        if name == "headers":
            return self._json(value)
        return str(timedelta(seconds=value) if name in _DURATIONS else value)

    def _json(self, text: str) -> str:
        if len(text) > READ:
            return f"{len(text):,} characters of JSON"
        shown, _ = redact(json.loads(text), self._hidden)
        return _cut(payload.canonical(shown))


def _definition(job: PeriodicJob) -> dict[str, Any]:
    return {**job.definition, "headers": job.headers_json, "message": job.message_json}


_DEFAULTS = _definition(PeriodicJob(name="", cron="", queue_name=""))


def _schedule(job: PeriodicJob) -> str:
    zone = "" if job.timezone == "UTC" else f" {job.timezone}"
    schedule = str(job.schedule) if job.cron is None else " ".join(job.cron.split())
    return f"{job.name}: {schedule}{zone}"


def _name(job: PeriodicJob) -> str:
    return job.name


def _item(line: str) -> str:
    text = line.lstrip()
    ticks = "`" * (1 + max(map(len, re.findall("`+", text)), default=0))
    # Where code begins or ends with a tick, a space belongs between.
    space = " " if len(ticks) > 1 else ""
    return f"{line.removesuffix(text)}- {ticks}{space}{text}{space}{ticks}"


def _cut(text: str) -> str:
    return text if len(text) <= SHOWN else text[: SHOWN - 1] + "…"
