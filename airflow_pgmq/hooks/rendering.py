"""Reads the templates of periodic jobs, by Jinja in Airflow's own sandboxed environment."""

from __future__ import annotations

import re
from collections.abc import Mapping, MutableMapping, Sequence
from dataclasses import replace
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from functools import cache, lru_cache
from typing import Any

import jinja2
from airflow.sdk.definitions._internal.templater import SandboxedEnvironment
from jinja2 import meta, nodes

from airflow_pgmq import settings
from airflow_pgmq.compat import utcnow
from airflow_pgmq.core import slots
from airflow_pgmq.core.jobs import PeriodicJob
from airflow_pgmq.core.schedule.excluding import Calendar
from airflow_pgmq.core.slot_messages import outgoing
from airflow_pgmq.errors import InvalidJobs, InvalidMessage

#: Brackets within brackets: each takes a dozen calls of Jinja's parser.
MOST_NESTED = 30

#: What gives another result each time.
IMPURE_FILTERS = ("random",)
_IMPURE_METHODS = frozenset({"now", "today", "utcnow", "fromtimestamp", "astimezone", "timestamp"})
#: The text of an object that has none of its own, with its address in memory.
_ADDRESS = re.compile(r"<[^<>]* at 0x[0-9a-fA-F]+>")
#: The functions of Jinja that give the same result each time.
GLOBALS = ("range", "dict")
#: Values whose text is the same in each process; that of others may have an address in memory.
_PLAIN = (str, int, float, Decimal, date, datetime, time, timedelta, type(None))


class _Sandbox(SandboxedEnvironment):
    """Airflow's, without what gives another result each time, or on each machine."""

    def is_safe_attribute(self, obj: Any, attr: str, value: Any) -> bool:
        """Not the clock, and not the machine's zone."""
        if isinstance(obj, (date, type)) and attr in _IMPURE_METHODS:
            return False
        return bool(super().is_safe_attribute(obj, attr, value))  # type: ignore[no-untyped-call]

    def make_globals(self, d: MutableMapping[str, Any] | None) -> MutableMapping[str, Any]:
        """A dict: each rendering copies it, and Jinja's chain of mappings takes most of the time of that."""
        return {**self.globals, **(d or {})}


class SlotTemplate:
    """A string of a periodic job's message."""

    def __init__(self, environment: jinja2.Environment, text: str) -> None:
        tree = environment.parse(text)
        self.names = frozenset(meta.find_undeclared_variables(tree) - environment.globals.keys())
        self._expression = self._text = None
        if _is_expression(tree) and text.startswith("{{") and text.endswith("}}"):
            # A sign at the brace is about spaces, the next one is the expression's own.
            inner = re.sub(r"^[-+]|[-+]$", "", text[2:-2])
            self._expression = environment.compile_expression(inner, undefined_to_none=False)
        else:
            self._text = environment.from_string(text)

    def render(self, values: Mapping[str, Any]) -> Any:
        """The text, or the value itself where the whole string is one expression."""
        if self._expression is not None:
            return _plain(self._expression(**values))
        assert self._text is not None
        return _plain(self._text.render(**values))


class SlotRenderer:
    """Reads each text once."""

    def __init__(self) -> None:
        #: Of a message, once it is rendered.
        self.max_bytes = settings.max_message_bytes()

    def read(self, text: str) -> SlotTemplate:
        """Read one; raises InvalidMessage."""
        return _read(text)


def check(jobs: Sequence[PeriodicJob]) -> None:
    """Render one slot of each job that has templates.

    :raises InvalidJobs: those that fail, and why
    """
    problems: dict[str, list[str]] = {}
    renderer = SlotRenderer()
    for job in jobs:
        if not job.has_templates:
            continue
        # Which days a calendar in the database has is not known here.
        exclude = [each for each in job.exclude if not isinstance(each, Calendar)]
        any_slot = next(iter(slots.upcoming(replace(job, exclude=exclude), utcnow(), 1)), None)
        if any_slot is None:
            continue
        try:
            outgoing(replace(job, exclude=exclude), any_slot, "namespace", None, renderer)
        except InvalidMessage as exc:
            problems[job.name] = [exc.text]
    if problems:
        raise InvalidJobs(problems)


@lru_cache(maxsize=10_000)
def _read(text: str) -> SlotTemplate:
    try:
        _check_nesting(text)
        return SlotTemplate(_environment(), text)
    except InvalidMessage:
        raise
    # Not only Jinja's: it makes Python code of the text, which Python may refuse.
    except Exception as exc:
        hint = ""
        if "random" in str(exc):
            hint = " A slot's message must be the same each time, so nothing random can be in it."
        kind = "" if isinstance(exc, jinja2.TemplateError) else f"{type(exc).__name__}: "
        raise InvalidMessage(f"The template {_short(text)} cannot be read: {kind}{exc}{hint}") from exc


def _check_nesting(text: str) -> None:
    """Refuse what could be read here, and not by a tick, which has more of Python's stack in use."""
    depth = 0
    for _, kind, sign in _environment().lex(text):
        depth += (kind == "operator") * ((sign in "([{") - (sign in ")]}"))
        if depth > MOST_NESTED:
            raise InvalidMessage(
                f"The template {_short(text)} has brackets within brackets, more than {MOST_NESTED} deep."
            )


def _short(text: str) -> str:
    return repr(text if len(text) <= 200 else f"{text[:200]}…")


@cache
def _environment() -> jinja2.Environment:
    environment: jinja2.Environment = _Sandbox(  # type: ignore[no-untyped-call]
        undefined=jinja2.StrictUndefined, finalize=_plain, cache_size=0
    )
    for name in IMPURE_FILTERS:
        environment.filters.pop(name, None)
    environment.globals = {name: environment.globals[name] for name in GLOBALS}
    return environment


def _is_expression(tree: nodes.Template) -> bool:
    """Whether there is one expression and nothing else."""
    first = tree.body[0] if len(tree.body) == 1 else None
    return (
        isinstance(first, nodes.Output)
        and len(first.nodes) == 1
        and not isinstance(first.nodes[0], nodes.TemplateData)
    )


def _plain(value: Any) -> Any:
    """The value, if its text is the same everywhere."""
    if isinstance(value, str):
        # Most texts have no such part, and a part is found faster than an expression.
        if " at 0x" in value and _ADDRESS.search(value):
            raise TypeError(f"the result has an address in memory: {value[:100]}")
    elif isinstance(value, Mapping):
        for each in value.items():
            _plain(each)
    elif isinstance(value, (list, tuple)):
        for each in value:
            _plain(each)
    elif isinstance(value, jinja2.Undefined):
        str(value)
    elif not isinstance(value, _PLAIN):
        kind = type(value).__name__
        more = "; add | list" if kind == "generator" else ""
        raise TypeError(f"the result is a {kind}, which has no text of its own{more}")
    return value
