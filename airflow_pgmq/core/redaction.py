"""Values that not even users who may read messages should see, hidden by their JSON key."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Collection, Iterator
from typing import Any

from airflow_pgmq.core import payload
from airflow_pgmq.errors import InvalidArgument

DEFAULT_KEYS = "password,secret,token,authorization,api_key"
HIDDEN = "***"
#: A longer text, or one to be searched for more values, is not searched but hidden as a whole.
LONGEST, MOST = 20_000, 100
#: A shorter value is hidden only as a word of its own.
SHORT = 4
#: What is nested deeper is cut: encoders and browsers fail on it.
DEPTH = 100


def parse_keys(text: str) -> frozenset[str]:
    """The option's text as keys to compare with, in lower case."""
    return frozenset(key.strip().lower() for key in text.split(",") if key.strip())


def redact(value: Any, keys: Collection[str], depth: int = DEPTH) -> tuple[Any, bool]:
    """A copy of JSON without the values of these keys, at any depth; and whether any was hidden."""
    if isinstance(value, (dict, list)) and not depth:
        return "…", False
    if isinstance(value, dict):
        hidden = {key for key in value if str(key).lower() in keys}
        parts = {key: redact(each, keys, depth - 1) for key, each in value.items() if key not in hidden}
        shown = {key: HIDDEN if key in hidden else parts[key][0] for key in value}
        return shown, bool(hidden) or any(found for _, found in parts.values())
    if isinstance(value, list):
        elements = [redact(each, keys, depth - 1) for each in value]
        return [each for each, _ in elements], any(found for _, found in elements)
    if isinstance(value, float) and not math.isfinite(value):
        # A number of hundreds of digits: browsers read no JSON that names infinity.
        return str(value), False
    return value, False


def unhide(value: Any, stored: Any, keys: Collection[str]) -> Any:
    """What `redact` has hidden, put back from what is stored, in a copy that somebody has edited.

    A part of a list is recognised only if nothing else of it was edited: another one may be in its place.

    :raises InvalidArgument: nothing is stored there
    """
    if isinstance(value, dict):
        return {key: _unhidden(str(key), each, _at(stored, key), keys) for key, each in value.items()}
    if isinstance(value, list):
        return [_of_list(index, each, value, stored, keys) for index, each in enumerate(value)]
    return value


def _at(stored: Any, key: Any) -> Any:
    return stored.get(key) if isinstance(stored, dict) else None


def _unhidden(key: str, value: Any, stored: Any, keys: Collection[str]) -> Any:
    if key.lower() not in keys or value != HIDDEN:
        return unhide(value, stored, keys)
    if stored is None:
        raise InvalidArgument(
            f"{HIDDEN} under {key!r} stands for a hidden value that is stored, and none is known for this "
            "place: write the value."
        )
    return stored


def _of_list(index: int, value: Any, around: list[Any], stored: Any, keys: Collection[str]) -> Any:
    others = stored if isinstance(stored, list) else []
    if len(others) == len(around) and payload.is_same(redact(others[index], keys)[0], value):
        return others[index]
    same = [each for each in others if payload.is_same(redact(each, keys)[0], value)]
    is_clear = same and all(payload.is_same(each, same[0]) for each in same)
    return same[0] if is_clear else unhide(value, None, keys)


def hidden_values(value: Any, keys: Collection[str]) -> Iterator[str]:
    """Each text and number under these keys, since errors may quote them."""
    todo = [(value, False)]
    while todo:
        item, is_hidden = todo.pop()
        if isinstance(item, dict):
            todo += [(each, is_hidden or str(key).lower() in keys) for key, each in item.items()]
        elif isinstance(item, list):
            todo += [(each, is_hidden) for each in item]
        elif is_hidden and item not in ("", None) and not isinstance(item, bool):
            yield str(item)


def scrub(text: str, hidden: Collection[str], keys: Collection[str]) -> str:
    """A free text, such as an exception's, without these values and without what follows such a key."""
    if not keys:
        return text
    if len(text) > LONGEST or len(hidden) > MOST:
        return HIDDEN
    # The longest first: one may be part of another.
    forms = sorted({form for each in hidden for form in _forms(each)}, key=len, reverse=True)
    for form in forms:
        text = _form(form).sub(HIDDEN, text)
    text = _cut_short(text, forms)
    names = "|".join(map(re.escape, sorted(keys, key=len, reverse=True)))
    # password=x, "password": "x", (password)=(x)
    return re.sub(
        rf"""(?i)((?<![a-z0-9])(?:{names})["')\]]*\s*(?:=>|[:=])\s*)("[^"]*"?|'[^']*'?|\([^)]*\)?|\S+)""",
        rf"\1{HIDDEN}",
        text,
    )


def _forms(value: str) -> set[str]:
    """The value, and how Python and JSON write it inside quotes."""
    return {value, repr(value)[1:-1], json.dumps(value)[1:-1], json.dumps(value, ensure_ascii=False)[1:-1]}


def _form(form: str) -> re.Pattern[str]:
    text = re.escape(form)
    return re.compile(rf"(?<!\w){text}(?!\w)" if len(form) < SHORT else text)


def _cut_short(text: str, forms: Collection[str]) -> str:
    """Hide the beginning of a value at the end of the text: reasons are cut to a length."""
    for form in forms:
        for length in range(min(len(form) - 1, len(text)), SHORT - 1, -1):
            if text.endswith(form[:length]):
                return text[:-length] + HIDDEN
    return text
