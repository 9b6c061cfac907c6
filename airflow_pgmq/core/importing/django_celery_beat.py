"""Tables of django-celery-beat → periodic jobs whose messages have the task and its arguments."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from airflow_pgmq.core.importing import celery_crontab
from airflow_pgmq.core.importing.imported import Imported, Intake, Untranslatable
from airflow_pgmq.core.schedule.definitions import At, Every

#: Made by Celery in each database.
_OWN = "celery.backend_cleanup"
#: What is not translated, if it is set.
_LEFT_OUT = ("queue", "exchange", "routing_key", "priority", "expires", "one_off")


def read(rows: Sequence[Mapping[str, Any]], *, queue_name: str, timezone: str = "UTC") -> Imported:
    """The jobs of rows as `db.statements.importing.django_celery_beat_tasks` has them.

    A message is `{"task": …, "args": […], "kwargs": {…}}`.

    :param timezone: for schedules without one: a crontab has its own
    """
    intake = Intake(queue_name, timezone)
    for number, row in enumerate(rows, 1):
        name = str(row.get("name") or f"row {number}")
        text = ", ".join(f"{each}: {value}" for each, value in row.items() if value not in (None, ""))
        try:
            _take(intake, name, text, row)
        except Untranslatable as exc:
            intake.refuse(name, text, str(exc))
    return intake.imported()


def _take(intake: Intake, name: str, text: str, row: Mapping[str, Any]) -> None:
    if row.get("enabled") is False:
        raise Untranslatable("it is not enabled: enable it and import it again if it is needed")
    task = row.get("task")
    if not isinstance(task, str) or not task:
        raise Untranslatable("it needs a task")
    if task == _OWN:
        raise Untranslatable("it is Celery's own, which cleans up its results: leave it to Celery")
    message = {"task": task, "args": _json(row, "args", list), "kwargs": _json(row, "kwargs", dict)}
    fields = _schedule(row)
    if isinstance(seconds := row.get("expire_seconds"), int):
        fields["ttl"] = _duration("seconds", seconds)
    if isinstance(row.get("start_time"), datetime):
        fields["start"] = row["start_time"]
    intake.take(name, text, name, message, **fields)
    if row.get("every") is not None:
        intake.note(name, "its slots are counted from midnight of a Monday; Celery counts from its start")
    for each in _LEFT_OUT:
        if row.get(each) not in (None, "", False):
            intake.note(name, f"{each} is left out: check whether it matters")


def _json(row: Mapping[str, Any], column: str, kind: type[list[Any]] | type[dict[str, Any]]) -> Any:
    text = row.get(column) or kind()
    try:
        found = json.loads(text) if isinstance(text, str) else text
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, kind):
        raise Untranslatable(f"{column} is no {kind.__name__} in JSON: correct it in the table")
    return found


def _schedule(row: Mapping[str, Any]) -> dict[str, Any]:
    """The job's fields for it."""
    if row.get("every") is not None:
        return {"schedule": Every(_duration(str(row.get("period")), row["every"]))}
    if isinstance(row.get("clocked_time"), datetime):
        return {"schedule": At(row["clocked_time"])}
    if row.get("minute") is None:
        raise Untranslatable("it has no interval, crontab or time; solar events have no fixed times")
    fields = [str(row.get(name, "*")) for name in celery_crontab.FIELDS]
    zone = {"timezone": str(row["timezone"])} if row.get("timezone") else {}
    return {**celery_crontab.schedule(fields), **zone}


def _duration(period: str, every: Any) -> timedelta:
    if period not in ("days", "hours", "minutes", "seconds") or not isinstance(every, int):
        raise Untranslatable(f"every {every} {period} is not read: write days, hours, minutes or seconds")
    try:
        return timedelta(**{period: every})
    except OverflowError:
        raise Untranslatable(f"every {every} {period} is longer than ten years") from None
