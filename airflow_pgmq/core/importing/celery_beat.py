"""Schedules of Celery beat → periodic jobs whose messages have the task and its arguments."""

from __future__ import annotations

import ast
from datetime import timedelta
from typing import Any

from airflow_pgmq.core.importing import celery_crontab, celery_source
from airflow_pgmq.core.importing.celery_source import Source, literal, not_literal, number
from airflow_pgmq.core.importing.imported import Imported, Intake, Untranslatable
from airflow_pgmq.core.schedule.definitions import Every

_READ = {"task", "schedule", "args", "kwargs", "options"}


def read(text: str, *, queue_name: str, timezone: str = "UTC") -> Imported:
    """The jobs of a Python file, or of a part of it, that sets `beat_schedule` or `CELERY_BEAT_SCHEDULE`.

    Its syntax is read, and nothing of it is run. A message is `{"task": …, "args": […], "kwargs": {…}}`.

    :param timezone: if the text does not set `timezone` or `CELERY_TIMEZONE`
    """
    intake = Intake(queue_name, timezone)
    try:
        source = celery_source.read(text)
    except Untranslatable as exc:
        intake.refuse("the file", text, str(exc))
        return intake.imported()
    zone = _zone(intake, source) or timezone
    for node in source.unread:
        intake.refuse(f"line {node.lineno}", source.segment(node), str(not_literal(node)))
    for key, value in source.entries:
        name = key.value if isinstance(key, ast.Constant) and isinstance(key.value, str) else None
        label = name or f"line {value.lineno}"
        try:
            if name is None:
                raise not_literal(value)
            _take(intake, name, source.segment(value), value, zone)
        except Untranslatable as exc:
            intake.refuse(label, source.segment(value), str(exc))
    if text.strip() and not source.entries and not source.unread:
        intake.refuse("the file", text, "it sets neither beat_schedule nor CELERY_BEAT_SCHEDULE")
    return intake.imported()


def _zone(intake: Intake, source: Source) -> str | None:
    """The last setting that is written out."""
    found = None
    for node in source.zones:
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            found = node.value
        else:
            intake.note(f"line {node.lineno}", "the time zone is not written out: say which one it is")
    return found


def _take(intake: Intake, name: str, text: str, value: ast.expr, zone: str) -> None:
    parts = _parts(value)
    if "task" not in parts or "schedule" not in parts:
        raise Untranslatable(f"line {value.lineno}: it needs task and schedule")
    task = literal(parts["task"])
    if not isinstance(task, str):
        raise not_literal(parts["task"])
    message: dict[str, Any] = {"task": task}
    message |= {each: literal(parts[each]) for each in ("args", "kwargs") if each in parts}
    fields = _schedule(parts["schedule"])
    notes = [f"{each} is left out: check whether it matters" for each in parts if each not in _READ]
    if "options" in parts:
        fields |= _options(parts["options"], notes)
    if "schedule" in fields:
        notes.insert(0, "its slots are counted from midnight of a Monday; Celery counts from its start")
    intake.take(name, text, name, message, timezone=zone, **fields)
    for note in notes:
        intake.note(name, note)


def _parts(value: ast.expr) -> dict[str, ast.expr]:
    """A mapping, also as `dict(task=…)`, or the keywords of a call."""
    if isinstance(value, ast.Dict):
        pairs = list(zip(map(_text, value.keys), value.values, strict=True))
    elif isinstance(value, ast.Call) and not value.args:
        pairs = [(each.arg, each.value) for each in value.keywords]
    else:
        raise not_literal(value)
    if any(key is None for key, _ in pairs):
        raise not_literal(value)
    return {key: part for key, part in pairs if key is not None}


def _text(node: ast.expr | None) -> str | None:
    return node.value if isinstance(node, ast.Constant) and isinstance(node.value, str) else None


def _schedule(node: ast.expr) -> dict[str, Any]:
    """The job's fields for it."""
    if not isinstance(node, ast.Call):
        return {"schedule": Every(_duration(node))}
    kind = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
    if kind == "timedelta":
        return {"schedule": Every(_duration(node))}
    if kind == "solar":
        raise Untranslatable("solar(…) has no fixed times: use a time of day, or the instants as At(…)")
    if kind != "crontab":
        raise Untranslatable(
            f"line {node.lineno}: only seconds, timedelta(…) and crontab(…) are read: write one of them"
        )
    return _crontab(node)


def _duration(node: ast.expr) -> timedelta:
    """A number of seconds or `timedelta(…)`."""
    try:
        if not isinstance(node, ast.Call):
            return timedelta(seconds=number(node))
        if getattr(node.func, "attr", getattr(node.func, "id", "")) != "timedelta":
            raise not_literal(node)
        named = {each.arg: number(each.value) for each in node.keywords if each.arg}
        if len(named) < len(node.keywords):
            raise not_literal(node)
        return timedelta(*map(number, node.args), **named)
    except (OverflowError, TypeError) as exc:
        raise Untranslatable(f"line {node.lineno}: this is no duration: {exc}") from None


def _crontab(node: ast.Call) -> dict[str, Any]:
    if len(node.args) > 2:
        raise Untranslatable(
            f"line {node.lineno}: which fields these are differs between versions: name them, as in "
            "day_of_week=1"
        )
    named = dict(zip(celery_crontab.FIELDS, node.args, strict=False))
    for each in node.keywords:
        if each.arg not in celery_crontab.FIELDS:
            raise Untranslatable(f"line {node.lineno}: {each.arg or '**'} of crontab is not read")
        named[each.arg] = each.value
    fields = [_field(named[name]) if name in named else "*" for name in celery_crontab.FIELDS]
    return celery_crontab.schedule(fields)


def _field(node: ast.expr) -> str:
    """A number, a text, or several numbers."""
    try:
        value = ast.literal_eval(node)
    except (ValueError, TypeError, SyntaxError, MemoryError, RecursionError):
        raise not_literal(node) from None
    several = sorted(value, key=str) if isinstance(value, (set, frozenset)) else value
    each = several if isinstance(several, (list, tuple)) else [several]
    if not each or any(type(one) not in (int, str) for one in each):
        raise not_literal(node)
    return ",".join(map(str, each))


def _options(node: ast.expr, notes: list[str]) -> dict[str, Any]:
    """`expires` as the job's ttl; what else there is, is noted."""
    parts = _parts(node)
    notes += [f"its option {each} is left out: does it matter?" for each in parts if each != "expires"]
    return {"ttl": _duration(parts["expires"])} if "expires" in parts else {}
