"""Schedules of sidekiq-cron → periodic jobs whose messages have the class and its arguments."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from datetime import timedelta
from typing import Any

from airflow_pgmq.core.importing import plain_cron
from airflow_pgmq.core.importing.imported import Imported, Intake, Untranslatable
from airflow_pgmq.core.job_documents import yaml_values
from airflow_pgmq.core.job_documents.scalars import Unclear
from airflow_pgmq.core.job_documents.yaml_values import BROKEN, Document
from airflow_pgmq.core.schedule.definitions import Every
from airflow_pgmq.errors import InvalidArgument

_EVERY = re.compile(r"every\s+(?:([0-9]{1,6})\s+)?(second|minute|hour|day)s?", re.IGNORECASE)
_ZONE = re.compile(r"[A-Z][A-Za-z0-9]+(?:[/_+-][A-Za-z0-9]+)*")
_NTH = re.compile(r"#[1-5](?=,|$)")
_WEEKDAY = re.compile(r"(?:sun|mon|tue|wed|thu|fri|sat)", re.IGNORECASE)
_READ = {"name", "cron", "class", "klass", "args", "queue", "status"}
#: What changes nothing of what is sent, and when.
_SILENT = {"description", "source"}


def read(text: str, *, queue_name: str, timezone: str = "UTC") -> Imported:
    """The jobs of a schedule file: a mapping of names, or a list.

    A message is `{"class": …, "args": […]}`, with `queue` if the entry has one. ERB is not run.

    :param timezone: the zone of the processes of Sidekiq, for crons that name none
    """
    intake = Intake(queue_name, timezone)
    try:
        document = yaml_values.read(text)
    except InvalidArgument as exc:
        why = exc.text.removeprefix("The jobs cannot be read: ")
        hint = " The file has ERB, which is not run: import what it gives." if "<%" in text else ""
        intake.refuse("the file", text, why + hint)
        return intake.imported()
    entries = list(_entries(document.value))
    for key, name, entry in entries:
        shown = _shown(entry)
        try:
            _take(intake, name, shown, entry, _wrong(document, key))
        except Untranslatable as exc:
            intake.refuse(name, shown, str(exc))
    if document.value is not None and not isinstance(document.value, (Mapping, list)):
        intake.refuse("the file", text, "it must be a mapping of names to jobs, or a list of jobs")
    keys = {key for key, _, _ in entries}
    for path, line, why in document.problems:
        # The reader leaves out what has a key that it does not read.
        if not path or path[0] not in keys:
            intake.refuse(f"line {line}", "", why)
    return intake.imported()


def _entries(value: Any) -> Iterator[tuple[str | int, str, Any]]:
    """The key in the document, the name and the entry."""
    if isinstance(value, Mapping):
        yield from ((key, key, entry) for key, entry in value.items())
    elif isinstance(value, list):
        for position, entry in enumerate(value):
            name = entry.get("name") if isinstance(entry, Mapping) else None
            yield position, name if isinstance(name, str) and name else f"entry {position + 1}", entry


def _wrong(document: Document, key: str | int) -> str | None:
    """What of an entry could not be read."""
    found = [f"line {line}: {why}" for path, line, why in document.problems if path and path[0] == key]
    return "; ".join(found[:5]) or None


def _shown(entry: Any) -> str:
    return str(entry) if not isinstance(entry, Mapping) else ", ".join(f"{k}: {v}" for k, v in entry.items())


def _take(intake: Intake, name: str, shown: str, entry: Any, wrong: str | None) -> None:
    if wrong:
        raise Untranslatable(wrong)
    if not isinstance(entry, Mapping):
        raise Untranslatable("it is no mapping with cron and class")
    if "<%" in shown:
        raise Untranslatable("it has ERB, which is not run: write the value that it gives")
    if str(entry.get("status", "enabled")).lower() == "disabled":
        raise Untranslatable("its status is disabled: enable it and import it again if it is needed")
    cron, kind = entry.get("cron"), entry.get("class") or entry.get("klass")
    if not isinstance(cron, str) or not isinstance(kind, str):
        raise Untranslatable("it needs cron and class, both as texts")
    message: dict[str, Any] = {"class": str(kind), "args": _args(entry.get("args"))}
    if entry.get("queue") is not None:
        message["queue"] = _plain(entry["queue"])
    fields = _schedule(cron)
    intake.take(name, shown, name, message, **fields)
    if "schedule" in fields:
        intake.note(
            name, f"{cron!r} is in equal steps from midnight of a Monday; sidekiq-cron makes a cron of it"
        )
    for each in (each for each in entry if each not in _READ | _SILENT):
        intake.note(name, f"{each} is left out: check whether the consumer needs it")


def _args(value: Any) -> list[Any]:
    """A list as it is, one value in a list; a text may be JSON."""
    value = _plain(value)
    if isinstance(value, str):
        try:
            found = json.loads(value)
        except (ValueError, RecursionError):
            return [value]
        return found if isinstance(found, list) else [value]
    return value if isinstance(value, list) else [] if value is None else [value]


def _plain(value: Any) -> Any:
    """Without what the reader adds to values; raises Untranslatable for words with two meanings."""
    if isinstance(value, Unclear):
        raise Untranslatable(value.advice)
    if value is BROKEN:
        raise Untranslatable("a part of it cannot be read: write it out")
    if isinstance(value, Mapping):
        return {key: _plain(each) for key, each in value.items()}
    return [_plain(each) for each in value] if isinstance(value, list) else value


def _schedule(text: str) -> dict[str, Any]:
    """The job's fields for it."""
    text = text.strip()
    if match := _EVERY.fullmatch(text):
        return {"schedule": Every(timedelta(**{f"{match[2].lower()}s": int(match[1] or 1)}))}
    words = text.split()
    zone = {"timezone": words.pop()} if len(words) > 1 and _is_zone(words[-1]) else {}
    if len(words) == 1 and words[0].startswith("@"):
        return {"cron": plain_cron.nickname(words[0]), **zone}
    if len(words) not in (5, 6):
        raise Untranslatable(
            f"{text!r} is not read here: write five fields, six with the seconds first, or 'every 5 minutes'"
        )
    if "%" in text:
        raise Untranslatable(f"{text!r} has a modulo, which no cron here has: use Every with an anchor")
    _check(words)
    return {"cron": " ".join(words), "seconds": "first" if len(words) == 6 else None, **zone}


def _is_zone(word: str) -> bool:
    return bool(_ZONE.fullmatch(word)) and not _WEEKDAY.match(word)


def _check(words: Sequence[str]) -> None:
    """Refuse what is not the same here; the last day and the second Friday are."""
    *seconds, minute, hour, day, month, weekday = words
    plain_cron.check([minute, hour, "1" if day in ("L", "l") else day, month, _NTH.sub("", weekday)])
    # Seconds are written as minutes are.
    for each in seconds:
        plain_cron.check([each, "*", "*", "*", "*"])
