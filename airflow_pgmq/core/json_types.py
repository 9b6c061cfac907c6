"""Python's types that are not JSON but have one obvious JSON form: `datetime`, `UUID`, `Enum`, dataclasses …

Inside a pydantic model, its own rules apply. Types of numpy, pandas and pydantic are recognised by name,
so that nothing is imported for them.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator, Mapping, Sequence
from datetime import date, time
from decimal import Decimal
from enum import Enum
from typing import Any, TypeAlias
from uuid import UUID

#: Levels of nesting; Python's JSON encoder takes fewer.
MAX_DEPTH = 20_000

#: What to write instead of a type that has no single obvious JSON form.
_INSTEAD = {
    "timedelta": "use .total_seconds() or str()",
    "Timedelta": "use .total_seconds() or str()",
    "timedelta64": "convert it to a number of seconds",
    "bytes": "decode it, or use base64",
    "bytearray": "decode it, or use base64",
    "bytes_": "decode it, or use base64",
    "memoryview": "decode it, or use base64",
    "set": "use a list: sorted(…)",
    "frozenset": "use a list: sorted(…)",
    "ndarray": "use .tolist()",
    "Series": "use .to_list() or .to_dict()",
    "DataFrame": "use .to_dict('records')",
    "NAType": "use None",
    "NaTType": "use None",
}

#: From the value inwards: the key or the index at each level.
_Path: TypeAlias = "tuple[_Path | None, str]"


class NotJson(ValueError):
    """A value that cannot be JSON, with its place in the message if that is known."""


def simpler(value: Any) -> Any:
    """One step nearer to JSON, without what is inside; json calls it for types that it does not know.

    :raises NotJson: the type has no obvious JSON form
    """
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, (date, time)) and value == value:  # pandas' NaT is a datetime that is not itself
        return value.isoformat()
    if isinstance(value, Decimal) and value.is_finite():
        # As text: a float would round it.
        return str(value)
    if isinstance(value, UUID):
        return str(value)
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
    return _foreign(value)


def _foreign(value: Any) -> Any:
    if _is_a(value, "pydantic", "BaseModel") and hasattr(value, "model_dump"):
        try:
            return _ordered(value.model_dump(), value.model_dump(mode="json"))
        except Exception as exc:
            raise NotJson(f"a {type(value).__name__} that pydantic cannot dump ({exc})") from exc
    if _is_a(value, "numpy", "generic"):
        if type(value).__name__ == "datetime64" and value == value:
            return str(value)
        # The item of a long double is a long double again.
        if isinstance(item := value.item(), (bool, int, float)) and "timedelta" not in type(value).__name__:
            return item
    raise NotJson(_refusal(value))


def _ordered(native: Any, made: Any) -> Any:
    """What pydantic made of a model, with its sets sorted: else they would differ between processes."""
    if isinstance(native, (set, frozenset)) and isinstance(made, list):
        return sorted(made, key=repr)
    if isinstance(native, dict) and isinstance(made, dict) and len(native) == len(made):
        return {
            key: _ordered(each, item) for each, (key, item) in zip(native.values(), made.items(), strict=True)
        }
    if isinstance(native, (list, tuple)) and isinstance(made, list) and len(native) == len(made):
        return [_ordered(each, item) for each, item in zip(native, made, strict=True)]
    return made


def _refusal(value: Any) -> str:
    if isinstance(value, Decimal):
        return f"a Decimal that is {value}; use None or a string"
    name = type(value).__name__
    return f"a {name}; {_INSTEAD.get(name, 'convert it to a string or number first')}"


def _is_a(value: Any, package: str, name: str) -> bool:
    return any(
        each.__name__ == name and each.__module__.partition(".")[0] == package for each in type(value).__mro__
    )


def once(pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    """An object of JSON that somebody typed; json itself would keep only the last of two equal keys.

    :raises NotJson: a key is there twice
    """
    found = dict(pairs)
    if len(found) < len(pairs):
        keys = [key for key, _ in pairs]
        raise NotJson(f"the key {next(key for key in keys if keys.count(key) > 1)!r} twice in one object")
    return found


def plain(value: Any) -> Any:
    """The same value in dicts with text as keys, lists, str, int, float, bool and None.

    No recursion: values may be nested deeper than Python calls.

    :raises NotJson: with the place of a value that has no obvious JSON form, is not JSON that Postgres takes,
        or has two keys that are the same in JSON
    """
    root: list[Any] = [None]
    todo: list[tuple[Any, Any, _Path, int, Any]] = [(root, 0, (None, "$"), 0, value)]
    # The containers around the current value, by identity.
    around: set[int] = set()
    while todo:
        target, key, path, depth, item = todo.pop()
        if target is None:
            around.discard(id(item))
            continue
        if isinstance(item, (str, int, float, type(None))):
            target[key] = _leaf(item, path)
            continue
        if depth > MAX_DEPTH:
            raise NotJson("it is nested too deeply")
        if id(item) in around:
            raise NotJson(f"it contains itself at {_place(path)}")
        around.add(id(item))
        todo.append((None, None, path, depth, item))
        if isinstance(item, dict):
            made: dict[str, Any] = {}
            target[key] = made
            inside = list(_items(item, path))
            made.update((text, None) for text, _ in inside)
            todo += reversed([(made, text, (path, f".{text}"), depth + 1, each) for text, each in inside])
        elif isinstance(item, (list, tuple)):
            target[key] = room = [None] * len(item)
            todo += reversed(
                [(room, index, (path, f"[{index}]"), depth + 1, each) for index, each in enumerate(item)]
            )
        else:
            todo.append((target, key, path, depth + 1, _simpler(item, path)))
    return root[0]


def _leaf(item: Any, path: _Path, what: str = "") -> Any:
    if isinstance(item, float) and not math.isfinite(item):
        raise NotJson(f"{float.__repr__(item)} at {_place(path)}{what}; use null or a string")
    if isinstance(item, str):
        if "\x00" in item:
            raise NotJson(f"a NUL character at {_place(path)}{what}")
        try:
            item.encode()
        except UnicodeEncodeError:
            raise NotJson(f"a lone surrogate at {_place(path)}{what}") from None
    return item


def _items(mapping: Mapping[Any, Any], path: _Path) -> Iterator[tuple[str, Any]]:
    """Items with their keys as JSON text; raises if two keys have the same text."""
    seen: dict[str, Any] = {}
    for key, item in mapping.items():
        text = _key(key, path)
        if text in seen:
            raise NotJson(f"the keys {seen[text]!r} and {key!r} at {_place(path)}, both {text!r} in JSON")
        seen[text] = key
        yield text, item


def _key(key: Any, path: _Path) -> str:
    """A key as json writes it; other types as the text that they have in a message."""
    simple = key
    while not isinstance(simple, (str, int, float, type(None))):
        if isinstance(simple, (tuple, list, dict)):
            raise NotJson(f"a {type(key).__name__} at {_place(path)} (key); keys must be text")
        simple = _simpler(simple, path, " (key)")
    _leaf(simple, path, " (key)")
    if isinstance(simple, str):
        return str.__str__(simple)
    if simple is None or isinstance(simple, bool):
        return {None: "null", True: "true", False: "false"}[simple]
    return int.__repr__(simple) if isinstance(simple, int) else float.__repr__(simple)


def _simpler(item: Any, path: _Path, what: str = "") -> Any:
    try:
        return simpler(item)
    except NotJson as exc:
        found, sign, instead = str(exc).partition("; ")
        raise NotJson(f"{found} at {_place(path)}{what}{sign}{instead}") from exc


def _place(path: _Path) -> str:
    steps: list[str] = []
    here: _Path | None = path
    while here is not None:
        here, step = here
        steps.append(step)
    return "".join(reversed(steps))
