"""Documents and mappings → jobs, or everything that is wrong with them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from functools import reduce
from typing import Any

from airflow_pgmq.core.job_documents import fields, yaml_values
from airflow_pgmq.core.job_documents.places import MOST_PROBLEMS, Place, Wrong, kind_of, mapping
from airflow_pgmq.core.job_documents.yaml_values import BROKEN, Document, Path
from airflow_pgmq.core.jobs import PeriodicJob
from airflow_pgmq.core.schedule.definitions import Cron
from airflow_pgmq.errors import InvalidArgument, InvalidJobs

_DEFAULTS = "defaults"
#: Fields of a document; editors look for `$schema` in JSON.
_TOP = ("jobs", _DEFAULTS, "$schema")
#: Characters of a text that says what is wrong.
_LONGEST = 500
#: In place of what cannot be read, to find what else is wrong with the job.
_STAND_INS = {"name": "x", "queue_name": "x", "schedule": "@daily"}


@dataclass
class _Part:
    """A job as it is written, or the defaults."""

    place: Place
    is_mapping: bool = True
    values: dict[str, Any] = field(default_factory=dict)
    places: dict[str, Place] = field(default_factory=dict)
    #: Fields that cannot be read.
    failed: set[str] = field(default_factory=set)
    problems: list[str] = field(default_factory=list)

    @property
    def has_schedule(self) -> bool:
        return not {"schedule", "cron"}.isdisjoint({*self.values, *self.failed})


def parse(text: str, source: str = "") -> list[PeriodicJob]:
    """The jobs of a document in YAML or JSON; docs/guides/live_jobs.md says what may be in it.

    It may come from strangers: nothing in it is run, and its size and depth are limited.

    :param source: the name of the file, for errors
    :raises InvalidArgument: it is not YAML, too large, or has no list of jobs
    :raises InvalidJobs: with everything that is wrong with any of the jobs, and its line
    """
    document = yaml_values.read(text, source)
    top = Place("", None, source)
    noted = _noted(document, top)
    entries, base = _top(document, top)
    place = Place("", top.at(document.value, _DEFAULTS).line, source)
    defaults = _part(base, place, fields.FIELDS.keys() - {"name"}, "defaults")
    problems = {_DEFAULTS: [*noted[_DEFAULTS], *defaults.problems]}
    jobs: list[PeriodicJob | None] = []
    labels: dict[str, str] = {}
    count = 0
    for position, entry in enumerate(entries):
        place = Place("", top.at(entries, position).line, source)
        own = _part(entry, place, fields.FIELDS.keys(), "a job")
        jobs.append(_job(own, defaults) if own.is_mapping else None)
        name = own.values.get("name")
        label = f"jobs[{position}]" + (f" {name[:100]}" if name else "")
        if name and labels.setdefault(name, label) != label:
            own.problems.append(place.text(f"the name is that of {labels[name]}, too"))
        problems[label] = [*noted[position], *own.problems]
        count += len(problems[label])
        if count >= MOST_PROBLEMS:
            break
    _check(problems)
    return [job for job in jobs if job is not None]


def from_mapping(given: Mapping[str, Any]) -> PeriodicJob:
    """The job of one mapping, such as `as_mapping` makes.

    :raises InvalidJobs: with everything that is wrong with it
    """
    own = _part(given, Place(), fields.FIELDS.keys(), "a job")
    job = _job(own, _Part(Place())) if own.is_mapping else None
    _check({str(own.values.get("name") or "the job")[:100]: own.problems})
    assert job is not None  # nothing is wrong with it
    return job


def _check(problems: Mapping[str, Sequence[str]]) -> None:
    left = MOST_PROBLEMS
    wrong: dict[str, list[str]] = {}
    for label, texts in problems.items():
        if texts and left > 0:
            wrong[label] = [_cut(text) for text in texts[:left]]
            left -= len(texts)
    if left <= 0:
        wrong["…"] = ["perhaps there is more: correct this first"]
    if wrong:
        raise InvalidJobs(wrong)


def _cut(text: str) -> str:
    """A text may quote a value of megabytes."""
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}…"


def _refused(place: Place, text: str) -> InvalidArgument:
    return InvalidArgument(f"The jobs cannot be read: {_cut(place.text(text))}.")


def _noted(document: Document, top: Place) -> dict[str | int, list[str]]:
    """What the text itself has that is wrong, by the job or `defaults` that it is in.

    :raises InvalidArgument: it is in neither
    """
    noted: dict[str | int, list[str]] = defaultdict(list)
    for path, line, text in document.problems:
        owner, inner = _owner(path)
        place: Place = reduce(lambda place, step: place.at(None, step), inner, Place("", line, top.source))
        if owner is None:
            raise _refused(place, text)
        noted[owner].append(place.text(text))
    return noted


def _owner(path: Path) -> tuple[str | int | None, Path]:
    """The position of a job or `defaults`, and the path from there on."""
    first, *rest = path or (None,)
    if first == "jobs" and rest:
        first, *rest = rest
    is_owner = isinstance(first, int) or first == _DEFAULTS
    return (first, tuple(rest)) if is_owner else (None, path)


def _top(document: Document, top: Place) -> tuple[Sequence[Any], Any]:
    """The list of jobs, and the defaults."""
    value = document.value
    if not isinstance(value, Mapping):
        return _list(value, top), {}
    if "name" in value:
        raise _refused(top.at(value, "name"), "jobs are a list, also a single one: begin it with a hyphen")
    try:
        mapping(value, top, _TOP, "a document")
    except Wrong as exc:
        raise InvalidArgument(f"The jobs cannot be read: {_cut('; '.join(exc.texts))}.") from None
    return _list(value.get("jobs"), top.at(value, "jobs")), value.get(_DEFAULTS, {})


def _list(value: Any, place: Place) -> Sequence[Any]:
    if not isinstance(value, list):
        found = "nothing" if value is None else kind_of(value)
        raise _refused(place, f"this must be a list of jobs, or [] for none, and is {found}")
    return value


def _part(value: Any, place: Place, known: Collection[str], what: str) -> _Part:
    """The fields of a job or of the defaults, as far as they can be read."""
    part = _Part(place)
    if not isinstance(value, Mapping):
        part.is_mapping = False
        part.failed |= _STAND_INS.keys()
        if value is not BROKEN:
            part.problems.append(place.text(f"must be a mapping of fields, not {kind_of(value)}"))
        return part
    try:
        mapping(value, place, [name for name in fields.FIELDS if name in known], what)
    except Wrong as exc:
        part.problems += exc.texts
    for name in (name for name in value if name in known):
        part.places[name] = place.at(value, name)
        try:
            part.values[name] = fields.read(name, value[name], part.places[name])
        except Wrong as exc:
            part.failed.add(name)
            part.problems += exc.texts
    return part


def _job(own: _Part, defaults: _Part) -> PeriodicJob | None:
    """The job; None, after its problems are noted, if there are any."""
    values = _merged(own, defaults)
    failed = own.failed | (defaults.failed - own.values.keys())
    missing = [name for name in fields.REQUIRED if name not in values and name not in failed]
    own.problems += [own.place.text(f"{name} is missing") for name in missing]
    away = {*failed, *missing} | ({"schedule"} if "cron" in failed else set())
    if "cron" in values:
        away -= {"schedule"}
    job = PeriodicJob(**{**values, **{name: _STAND_INS[name] for name in away & _STAND_INS.keys()}})
    # How large a message may be is for the operator to say, which knows the configuration.
    for text in job.problems(max_bytes=None):
        own.problems.append(_place_of(text, own, defaults).text(text))
    return None if own.problems or failed else job


def _merged(own: _Part, defaults: _Part) -> dict[str, Any]:
    base = dict(defaults.values)
    schedule = own.values.get("schedule", None if own.has_schedule else base.get("schedule"))
    if own.has_schedule:
        base = {name: value for name, value in base.items() if name not in ("schedule", "cron")}
    if schedule is not None and not isinstance(schedule, (str, Cron)):
        # What the defaults say of crons is not about this job.
        base = {name: value for name, value in base.items() if name not in ("seconds", "day_match")}
    if isinstance(schedule, Cron):
        twice = [
            name for name in ("seconds", "day_match") if getattr(schedule, name) and own.values.get(name)
        ]
        own.problems += [own.places[name].text("is in schedule, too: give it once") for name in twice]
    return base | own.values


def _place_of(problem: str, own: _Part, defaults: _Part) -> Place:
    """The line of the field with which a sentence begins, or else that of the job."""
    word = problem.partition(" ")[0]
    names = ("cron", "schedule") if word == "cron" else (word,)
    found = [part.places[name] for part in (own, defaults) for name in names if name in part.places]
    return Place("", found[0].line, found[0].source) if found else own.place
