"""Python values → the JSON text that Postgres's `jsonb` accepts, or an error that says where it is wrong."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from airflow_pgmq.errors import InvalidMessage

DEFAULT_MAX_BYTES = 1024 * 1024


def _encoder(*, sort_keys: bool = False) -> Callable[[Any], str]:
    """json's encoder, whose C part is made only once: to make it takes as long as a small value does."""
    encoder = json.JSONEncoder(
        ensure_ascii=False, check_circular=False, allow_nan=False, separators=(",", ":"), sort_keys=sort_keys
    )
    if (make := getattr(json.encoder, "c_make_encoder", None)) is None:
        return encoder.encode
    parts = make(
        None, encoder.default, json.encoder.encode_basestring, None, ":", ",", sort_keys, False, False
    )
    return lambda value: "".join(parts(value, 0))


_decode = json.JSONDecoder().raw_decode
_encode = _encoder()
_encode_sorted = _encoder(sort_keys=True)


@dataclasses.dataclass(frozen=True, slots=True)
class Unreadable:
    """Stands for JSON that Postgres holds and Python does not read; the messages beside it are read."""

    #: Why, and how long the text is: it may be megabytes of brackets.
    reason: str


def loads(text: str | bytes) -> Any:
    """Read JSON from Postgres, all but thousands of levels and numbers of thousands of digits."""
    try:
        text = text if isinstance(text, str) else str(text, "utf-8")
        # Half the time of json.loads, which looks for an encoding, and for space that Postgres leaves out.
        value, end = _decode(text)
        return value if end == len(text) else json.loads(text)
    except (ValueError, RecursionError) as exc:
        return Unreadable(f"{type(exc).__name__} in JSON of {len(text):,} bytes: {exc}")


def dumps(value: Any, *, what: str = "message", max_bytes: int | None = DEFAULT_MAX_BYTES) -> str:
    """Serialize for `jsonb`: refuses NaN, NUL, lone surrogates, foreign types and what is too large."""
    return _dumps(value, _encode, what, max_bytes)


def _dumps(value: Any, encode: Callable[[Any], str], what: str, max_bytes: int | None) -> str:
    try:
        text = encode(value)
        if not text.isascii():
            text.encode()
    except (TypeError, ValueError, RecursionError) as exc:
        raise InvalidMessage(f"The {what} is not JSON that Postgres accepts: {_reason(value, exc)}") from exc
    if "\\u0000" in text and (path := next(_nul_paths(value), None)):
        raise InvalidMessage(f"The {what} is not JSON that Postgres accepts: a NUL character at {path}")
    check_size(text, max_bytes, what=what)
    return text


def canonical(value: Any, *, what: str = "message") -> str:
    """The same with keys in order: as the database sees it, their order is none."""
    try:
        return _dumps(value, _encode_sorted, what, None)
    except InvalidMessage:
        # Keys of several types, which are texts in JSON, have no order.
        return _encode_sorted(json.loads(dumps(value, what=what, max_bytes=None)))


def is_same(one: Any, other: Any) -> bool:
    """Whether two values are the same JSON: to Python, so would be 1 and true."""
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(is_same(one[key], other[key]) for key in one)
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(is_same, one, other))
    return isinstance(one, bool) == isinstance(other, bool) and bool(one == other)


def dumps_all(values: Sequence[Any], *, max_bytes: int | None = DEFAULT_MAX_BYTES) -> list[str]:
    """Serialize many messages: checked together, and one by one only where something is wrong."""
    try:
        texts = [_encode(value) for value in values]
        together = "".join(texts)
        is_fine = together.isascii() or bool(together.encode())
    except (TypeError, ValueError, RecursionError):
        is_fine = False
    # No character takes more than four bytes.
    is_small = max_bytes is None or (is_fine and 4 * max(map(len, texts), default=0) <= max_bytes)
    if is_fine and is_small and "\\u0000" not in together:
        return texts
    return [dumps(value, max_bytes=max_bytes) for value in values]


def check_size(text: str, max_bytes: int | None, *, what: str = "message") -> None:
    """Raise InvalidMessage if the JSON text is larger than the limit, in UTF-8 bytes."""
    if max_bytes is not None and len(text) * 4 > max_bytes and (size := len(text.encode())) > max_bytes:
        raise InvalidMessage(
            f"The {what} has {size:,} bytes, the limit is {max_bytes:,} ([pgmq] max_message_bytes). "
            "Send a reference to the data instead of the data."
        )


def dumps_headers(headers: Mapping[str, Any] | None) -> str:
    """Serialize headers, which PGMQ keeps as one JSON object."""
    if headers is not None and not isinstance(headers, Mapping):
        raise InvalidMessage(f"Headers must be a mapping, not {type(headers).__name__}.")
    return dumps(dict(headers or {}), what="headers")


def _reason(value: Any, exc: Exception) -> str:
    if isinstance(exc, RecursionError) or "Circular" in str(exc):
        return "it is nested too deeply or contains itself"
    for path, leaf in _walk(value):
        if isinstance(leaf, float) and not math.isfinite(leaf):
            return f"{leaf} at {path}; use null or a string"
        if isinstance(leaf, str) and not _is_utf8(leaf):
            return f"a lone surrogate at {path}"
        if not isinstance(leaf, (str, int, float, bool, type(None), dict, list, tuple)):
            return f"a {type(leaf).__name__} at {path}; convert it to a string or number first"
    return str(exc)


def _is_utf8(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _nul_paths(value: Any) -> Iterator[str]:
    return (path for path, leaf in _walk(value) if isinstance(leaf, str) and "\x00" in leaf)


def _walk(value: Any) -> Iterator[tuple[str, Any]]:
    """Every key and leaf with its JSON path, in order; no recursion, because JSON may nest deeper."""
    todo = [("$", value)]
    while todo:
        path, item = todo.pop()
        if isinstance(item, Mapping):
            yield from ((f"{path} (key)", key) for key in item)
            todo += reversed([(f"{path}.{key}", each) for key, each in item.items()])
        elif isinstance(item, (list, tuple)):
            todo += reversed([(f"{path}[{index}]", each) for index, each in enumerate(item)])
        else:
            yield path, item
