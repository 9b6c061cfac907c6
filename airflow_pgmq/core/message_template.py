"""Messages that know their slot: strings in them are templates, rendered when the slot is enqueued.

Rendering is a pure function of job and slot, so that a retry, a backfill and another scheduler make the same
bytes.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Any, Protocol

from airflow_pgmq.core.schedule.zones import time_zone
from airflow_pgmq.errors import InvalidMessage, PgmqError

if TYPE_CHECKING:
    from airflow_pgmq.core.jobs import PeriodicJob


class Template(Protocol):
    """A string that was read once."""

    #: The names that it asks for.
    names: frozenset[str]

    def render(self, values: Mapping[str, Any]) -> Any:
        """The text, or the value itself where the whole string is one expression."""


class Renderer(Protocol):
    """Reads templates."""

    @property
    def max_bytes(self) -> int | None:
        """The largest message that templates may make, as JSON. None: any."""

    def read(self, text: str) -> Template:
        """Read one; raises InvalidMessage."""


#: What a template may ask for.
VALUES: dict[str, Callable[[PeriodicJob, datetime, str], Any]] = {
    "slot": lambda job, slot, namespace: slot,
    "slot_local": lambda job, slot, namespace: slot.astimezone(time_zone(job.timezone)),
    "interval_start": lambda job, slot, namespace: next(job.slots.before(slot), None),
    "interval_end": lambda job, slot, namespace: slot,
    "ds": lambda job, slot, namespace: f"{slot:%Y-%m-%d}",
    "ts": lambda job, slot, namespace: slot.isoformat(),
    "job": lambda job, slot, namespace: job.name,
    "namespace": lambda job, slot, namespace: namespace,
    "params": lambda job, slot, namespace: json.loads(job.params_json),
}
_KNOWN = frozenset(VALUES)
#: Of these, each template has its own: it may change it, and the next one must not see that.
CHANGEABLE = {"params"}


def is_template(text: str) -> bool:
    """Whether a text has an expression, a statement or a comment; in JSON, these are only in strings."""
    # Not a loop: it is asked of each job at each tick.
    return "{{" in text or "{%" in text or "{#" in text


class SlotValues(dict[str, Any]):
    """The values of a job's slot by name: made when a template asks for one, and kept for the others."""

    def __init__(self, job: PeriodicJob, slot: datetime, namespace: str) -> None:
        self.slot = slot
        self._of = job, slot, namespace

    def __missing__(self, name: str) -> Any:
        value = VALUES[name](*self._of)
        if name not in CHANGEABLE:
            self[name] = value
        return value


def render(json_text: str, values: SlotValues, renderer: Renderer) -> Any:
    """The value of JSON with its strings rendered.

    :raises InvalidMessage: a template cannot be read, or fails for this slot
    """
    return _rendered(json.loads(json_text), values, renderer)


def _rendered(value: Any, values: SlotValues, renderer: Renderer) -> Any:
    if isinstance(value, str):
        return _string(value, values, renderer) if is_template(value) else value
    if isinstance(value, list):
        return [_rendered(each, values, renderer) for each in value]
    if isinstance(value, dict):
        if wrong := next(filter(is_template, value), None):
            raise InvalidMessage(f"The key {wrong!r} looks like a template: only values are rendered.")
        return {name: _rendered(each, values, renderer) for name, each in value.items()}
    return value


def _string(text: str, values: SlotValues, renderer: Renderer) -> Any:
    template = renderer.read(text)
    if unknown := template.names - _KNOWN:
        raise InvalidMessage(
            f"The template {text!r} asks for {', '.join(sorted(unknown))}. "
            f"A message's template knows {', '.join(VALUES)}."
        )
    try:
        return template.render({name: values[name] for name in template.names})
    except PgmqError:
        raise
    # Whatever an expression raises.
    except Exception as exc:
        raise InvalidMessage(
            f"The template {text!r} fails for the slot {values.slot.isoformat()}: {type(exc).__name__}: {exc}"
        ) from exc
