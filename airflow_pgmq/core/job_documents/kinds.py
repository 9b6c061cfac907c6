"""Kinds of fields of a job: how each is read from a document, and written in JSON types."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from functools import partial
from typing import Any, cast

from airflow_pgmq.core import iso8601
from airflow_pgmq.core.job_documents import durations
from airflow_pgmq.core.job_documents.places import Place, Wrong, gathered, kind_of, one_of, probably
from airflow_pgmq.core.job_documents.scalars import Unclear
from airflow_pgmq.core.job_documents.yaml_values import BROKEN, MAX_DEPTH

DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_INSTANT = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}"
    r"(?:[T ][0-9]{2}:[0-9]{2}(?::[0-9]{2}(?:\.[0-9]+)?)?"
    r"(?:Z| ?[+-][0-9]{2}:[0-9]{2}(?::[0-9]{2}(?:\.[0-9]+)?)?)?)?"
)


@dataclass(frozen=True)
class Kind:
    """A kind of values.

    :param read: the value of a field, of what the document has; raises Wrong
    :param write: the same in JSON types
    """

    read: Callable[[Any, Place], Any]
    write: Callable[[Any], Any]


def text(value: Any, place: Place) -> str:
    """A text; also a word that only YAML 1.1 takes for something else, such as the country NO."""
    told(value)
    if isinstance(value, Unclear) and value.is_number:
        raise place.wrong(value.advice)
    if not isinstance(value, str):
        quoted = f'; if it is a text, put it in quotes: "{value}"' if isinstance(value, (int, float)) else ""
        raise place.wrong(f"must be a text, not {kind_of(value)[:60]}{quoted[:120]}")
    return str(value)


def choice(*words: str) -> Kind:
    """One of these words."""

    def read(value: Any, place: Place) -> str:
        told(value)
        if not isinstance(value, str) or value not in words:
            raise place.wrong(f"must be {one_of(words)}, not {kind_of(value)}{probably(value, words)}")
        return str(value)

    return Kind(read, str)


def _integer(value: Any, place: Place) -> int:
    told(value)
    if isinstance(value, Unclear) and value.is_number:
        raise place.wrong(value.advice)
    if not isinstance(value, int) or isinstance(value, bool):
        raise place.wrong(f"must be a whole number, not {kind_of(value)}")
    return value


def duration(value: Any, place: Place) -> timedelta:
    """A number of seconds, or a text."""
    told(value)
    instead = "write seconds, such as 90, or a text such as 90m, 2h30m or PT90M"
    if isinstance(value, timedelta):
        return value
    try:
        if isinstance(value, str) and not (isinstance(value, Unclear) and value.is_number):
            return durations.parse(value)
        if isinstance(value, (int, float)) and not isinstance(value, bool) and value >= 0:
            return timedelta(seconds=value)
    except OverflowError:
        raise place.wrong("is longer than ten years") from None
    except ValueError:
        pass
    raise place.wrong(f"{kind_of(value)} is not a duration: {instead}")


def instant(value: Any, place: Place) -> datetime:
    """An instant; without a zone, in the job's. A date is its midnight."""
    told(value)
    if isinstance(value, datetime):
        return value
    written = value.isoformat() if isinstance(value, date) else value
    if isinstance(written, str) and _INSTANT.fullmatch(written):
        try:
            return iso8601.parse(re.sub(" (?=[+-])", "", written))
        except ValueError as exc:
            raise place.wrong(f"{written!r} is not an instant: {exc}") from None
    raise place.wrong(
        f"{kind_of(value)} is not an instant: write it as 2026-01-31T09:00:00+01:00, or without a zone as "
        "2026-01-31 09:00 in the job's time zone"
    )


def day(value: Any, place: Place) -> date:
    """A date."""
    told(value)
    if isinstance(value, date) and not isinstance(value, datetime):
        return value
    if isinstance(value, str) and DATE.fullmatch(value):
        try:
            return date.fromisoformat(value)
        except ValueError as exc:
            raise place.wrong(f"{str(value)!r} is not a date: {exc}") from None
    raise place.wrong(f"{kind_of(value)} is not a date: write it as 2026-12-24")


def json_value(value: Any, place: Place, depth: int = 0) -> Any:
    """Any JSON value, in plain dicts and lists. Dates and times stay the texts that they are."""
    told(value)
    if isinstance(value, Unclear):
        raise place.wrong(value.advice)
    if isinstance(value, float) and not math.isfinite(value):
        raise place.wrong(f"{value} is not JSON: write null or a text")
    if isinstance(value, Mapping):
        return dict(zip(value, _inside(value, value.items(), place, depth), strict=True))
    if isinstance(value, (list, tuple)):
        return _inside(value, enumerate(value), place, depth)
    return value


def _inside(around: Any, keyed: Iterable[tuple[Any, Any]], place: Place, depth: int) -> list[Any]:
    if depth >= MAX_DEPTH:
        raise place.wrong(f"is nested deeper than {MAX_DEPTH} levels")
    items = list(keyed)
    # Most values are neither containers nor wrong, and need no place.
    if all(type(each) in _PLAIN for _, each in items):
        return [each for _, each in items]
    return gathered(partial(json_value, each, place.at(around, key), depth + 1) for key, each in items)


_PLAIN = (str, int, bool, type(None))


def _json_object(value: Any, place: Place) -> dict[str, Any]:
    told(value)
    if not isinstance(value, Mapping):
        raise place.wrong(f"must be a mapping, not {kind_of(value)}")
    return cast("dict[str, Any]", json_value(value, place))


def told(value: Any) -> None:
    """Stop quietly at what the document itself cannot use: it has said so."""
    if value is BROKEN:
        raise Wrong([])


def _as_it_is(value: Any) -> Any:
    return value


def _boolean(value: Any, place: Place) -> bool:
    told(value)
    if not isinstance(value, bool):
        raise place.wrong(f"must be true or false, not {kind_of(value)}")
    return value


TEXT = Kind(text, _as_it_is)
BOOLEAN = Kind(_boolean, _as_it_is)
INTEGER = Kind(_integer, _as_it_is)
DURATION = Kind(duration, durations.short)
INSTANT = Kind(instant, datetime.isoformat)
JSON = Kind(json_value, _as_it_is)
OBJECT = Kind(_json_object, _as_it_is)
