"""Jobs → Python that declares them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any, TypeAlias

from airflow_pgmq.core import jobs as periodic_jobs
from airflow_pgmq.core.job_documents import durations, fields
from airflow_pgmq.core.jobs import PeriodicJob
from airflow_pgmq.core.schedule.definitions import ANCHOR, At, Cron, Every, RRule
from airflow_pgmq.core.schedule.excluding import Blackout, Calendar, Holidays

#: What formatters use, if nobody tells them otherwise.
_LINE = 88
_STEP = "    "
_UTC = "timezone.utc"


@dataclass(frozen=True)
class _Group:
    """Parts between brackets, each after its name or key."""

    start: str
    parts: Sequence[tuple[str, _Code]]
    end: str


_Code: TypeAlias = "str | _Group"


def python(jobs: Sequence[PeriodicJob]) -> str:
    """A module with the jobs in `JOBS`, without what is as by default, formatted as by `ruff format`.

    :raises InvalidJobs: a job has problems
    :raises InvalidMessage: a message is nested too deeply
    """
    periodic_jobs.check(jobs, max_bytes=None)
    code = _Group("[", [("", _call("PeriodicJob", **fields.given(job))) for job in jobs], "]")
    names = {"PeriodicJob", *_names(code)}
    own = ("date", "datetime", "timedelta", "timezone")
    imports = [
        _imports("datetime", names & {*own}),
        _imports("airflow_pgmq.jobs", names - {*own}),
    ]
    return "\n\n".join([*filter(None, imports), _written("JOBS = ", code, "", "")]) + "\n"


def _imports(module: str, names: set[str]) -> str:
    if not names:
        return ""
    line = f"from {module} import {', '.join(sorted(names))}"
    several = _Group("(", [("", name) for name in sorted(names)], ")")
    return line if len(line) <= _LINE else _written(f"from {module} import ", several, "", "")


def _names(code: _Code) -> Iterator[str]:
    """What must be imported."""
    if code == _UTC:
        yield "timezone"
    if not isinstance(code, str):
        if name := code.start.rstrip("([{").partition(".")[0]:
            yield name
        for _, part in code.parts:
            yield from _names(part)


def _written(before: str, code: _Code, after: str, indent: str) -> str:
    """The code in one line if it fits, else each part in its own; jobs always so."""
    if isinstance(code, str) or not code.parts:
        return f"{indent}{before}{_flat(code)}{after}"
    if not _is_tall(code) and len(line := f"{indent}{before}{_flat(code)}{after}") <= _LINE:
        return line
    inner = [_written(name, part, ",", indent + _STEP) for name, part in code.parts]
    return "\n".join([f"{indent}{before}{code.start}", *inner, f"{indent}{code.end}{after}"])


def _is_tall(code: _Group) -> bool:
    return code.start == "PeriodicJob(" or any(
        isinstance(part, _Group) and part.start == "PeriodicJob(" for _, part in code.parts
    )


def _flat(code: _Code) -> str:
    if isinstance(code, str):
        return code
    return f"{code.start}{', '.join(name + _flat(part) for name, part in code.parts)}{code.end}"


def _call(function: str, *positional: Any, **named: Any) -> _Group:
    parts = [("", _code(value)) for value in positional]
    parts += [(f"{name}=", _code(value)) for name, value in named.items()]
    return _Group(f"{function}(", parts, ")")


def _code(value: Any) -> _Code:
    if isinstance(value, str):
        return _quoted(value)
    if isinstance(value, Mapping):
        return _Group("{", [(f"{_quoted(key)}: ", _code(each)) for key, each in value.items()], "}")
    if isinstance(value, (list, tuple)):
        return _Group("[", [("", _code(each)) for each in value], "]")
    if isinstance(value, datetime):
        return _instant(value)
    if isinstance(value, date):
        return _call("date", value.year, value.month, value.day)
    if isinstance(value, timedelta):
        return _call("timedelta", **durations.parts(value))
    # Formatters write 1e16 for what repr writes as 1e+16.
    return _of_a_schedule(value) or repr(value).replace("e+", "e")


def _of_a_schedule(value: Any) -> _Group | None:
    """Schedules, and what they leave out."""
    if isinstance(value, Cron):
        parts = {name: part for name in ("seconds", "day_match") if (part := getattr(value, name))}
        return _call("Cron", value.expression, **parts)
    if isinstance(value, Every):
        return _call("Every", value.interval, **({} if value.anchor == ANCHOR else {"anchor": value.anchor}))
    if isinstance(value, At):
        return _call("At", *value.instants)
    if isinstance(value, RRule):
        return _call("RRule", value.rule)
    if isinstance(value, Calendar):
        return _call("Calendar", value.name)
    if isinstance(value, Holidays):
        return _call("Holidays", *filter(None, (value.country, value.subdivision)))
    return _call("Blackout", value.start, value.end) if isinstance(value, Blackout) else None


def _instant(value: datetime) -> _Group:
    offset = value.utcoffset()
    if offset:
        return _call("datetime.fromisoformat", value.isoformat())
    parts = [value.year, value.month, value.day, value.hour, value.minute, value.second, value.microsecond]
    while len(parts) > 3 and not parts[-1]:
        parts.pop()
    zone = [("tzinfo=", _UTC)] if offset is not None else []
    return _Group("datetime(", [*(("", str(part)) for part in parts), *zone], ")")


def _quoted(text: str) -> str:
    """In double quotes, unless single ones need fewer backslashes."""
    if text.count('"') > text.count("'"):
        return "'" + "\\'".join(repr(part)[1:-1] for part in text.split("'")) + "'"
    # repr takes double quotes for what has single ones only.
    return '"' + '\\"'.join(repr(f"'{part}")[2:-1] for part in text.split('"')) + '"'
