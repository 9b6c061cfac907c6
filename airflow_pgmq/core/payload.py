"""Python values → JSON text that Postgres's `jsonb` accepts, or an error that says where it is wrong."""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import repeat
from typing import Any

from airflow_pgmq.core import json_types
from airflow_pgmq.errors import InvalidArgument, InvalidInput, InvalidMessage

DEFAULT_MAX_BYTES = 1024 * 1024
#: The parts of a message; all else that becomes JSON here is an argument.
_OF_A_MESSAGE = ("message", "headers", "group")


def _encoder(*, sort_keys: bool = False) -> tuple[Callable[[Any], str], Callable[[Iterable[Any]], list[str]]]:
    """json's encoder for one value and for many, made once: making its C part takes as long as one value."""
    encoder = json.JSONEncoder(
        ensure_ascii=False,
        check_circular=False,
        allow_nan=False,
        separators=(",", ":"),
        sort_keys=sort_keys,
        default=json_types.simpler,
    )
    if (make := getattr(json.encoder, "c_make_encoder", None)) is None:
        return encoder.encode, lambda values: list(map(encoder.encode, values))
    parts = make(
        None, encoder.default, json.encoder.encode_basestring, None, ":", ",", sort_keys, False, False
    )
    join = "".join
    return lambda value: join(parts(value, 0)), lambda values: list(map(join, map(parts, values, repeat(0))))


#: Finds the end of a key that may look like a number, true, false or null: a cheap search, for all messages.
_ODD_END = re.compile(
    r'":(?<=["0-9.+\-uls][0-9el]":)(?:(?<=["0-9.+\-][0-9]":)|(?<="[tn][ru][ul][el]":)|(?<="false":))'
)
_ODD_KEY = re.compile(r'"(?:-?[0-9][^"]*|true|false|null)":')
#: Reads one value from a place on; says where it ends.
_scan: Callable[[str, int], tuple[Any, int]] = json.JSONDecoder().scan_once  # type: ignore[attr-defined]
_encode, _encode_all = _encoder()
_encode_sorted, _ = _encoder(sort_keys=True)


@dataclasses.dataclass(frozen=True, slots=True)
class Unreadable:
    """In place of JSON that Postgres holds and Python cannot read; other messages are read all the same."""

    #: Why, and how long the text is; the text itself may be megabytes.
    reason: str


def loads(text: str | bytes | bytearray | memoryview) -> Any:
    """Read JSON from Postgres; `Unreadable` for thousands of levels, or numbers of thousands of digits."""
    try:
        text = text if isinstance(text, str) else str(text, "utf-8")
        try:
            # Half of what json.loads takes, which looks for an encoding and for spaces that Postgres omits.
            value, end = _scan(text, 0)
        except StopIteration:
            value, end = None, -1
        return value if end == len(text) else json.loads(text)
    except (ValueError, RecursionError) as exc:
        return Unreadable(f"{type(exc).__name__} in JSON of {len(text):,} bytes: {exc}")


def dumps(value: Any, *, what: str = "message", max_bytes: int | None = DEFAULT_MAX_BYTES) -> str:
    """Serialize for `jsonb`: refuses NaN, NUL, lone surrogates, foreign types and what is too large.

    Types that are not JSON but have one obvious JSON form are written in it: `json_types`.
    """
    return _dumps(value, _encode, what, max_bytes)


def plain(value: Any, *, what: str) -> Any:
    """The value as its reader will see it, to compare it or store it elsewhere before it is sent."""
    return None if value is None else json.loads(dumps(value, what=what, max_bytes=None))


def _dumps(value: Any, encode: Callable[[Any], str], what: str, max_bytes: int | None) -> str:
    try:
        text = encode(value)
        # The encoder that sorts the keys has already checked that they can be sorted.
        is_whole = encode is _encode_sorted or not _ODD_END.search(text) or not _loses_a_key(text, value)
        is_fine = is_whole and _is_storable(text)
    except (TypeError, ValueError, RecursionError):
        is_fine = False
    if not is_fine:
        text = _in_steps(value, encode, what)
    check_size(text, max_bytes, what=what)
    return text


def _in_steps(value: Any, encode: Callable[[Any], str], what: str) -> str:
    """The slow way, whose errors say where in the value they are; all keys become text."""
    try:
        return encode(json_types.plain(value))
    except RecursionError:
        reason = "it is nested too deeply or contains itself"
    except (TypeError, ValueError) as exc:
        reason = str(exc)
    raise _invalid(what, f"The {what} is not JSON that Postgres accepts: {reason}")


def _invalid(what: str, text: str) -> InvalidInput:
    return InvalidMessage(text) if what in _OF_A_MESSAGE else InvalidArgument(text)


def _is_storable(text: str) -> bool:
    """Whether Postgres takes it; raises UnicodeEncodeError for a lone surrogate."""
    is_utf8 = text.isascii() or bool(text.encode())
    # Most texts have no backslash, and one character is found faster than six.
    return is_utf8 and not ("\\" in text and "\\u0000" in text)


def _loses_a_key(text: str, value: Any) -> bool:
    """Whether two keys of one object may be one in JSON, such as 1 and "1": these cannot be sorted."""
    if not _ODD_KEY.search(text):
        return False
    try:
        _encode_sorted(value)
    except TypeError:
        return True
    return False


def canonical(value: Any, *, what: str = "message") -> str:
    """The same with sorted keys, since their order means nothing to the database."""
    return _dumps(value, _encode_sorted, what, None)


def is_same(one: Any, other: Any) -> bool:
    """Whether two values are the same JSON; Python alone would take 1 and true for equal."""
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(is_same(one[key], other[key]) for key in one)
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(is_same, one, other))
    return isinstance(one, bool) == isinstance(other, bool) and bool(one == other)


def dumps_all(values: Sequence[Any], *, max_bytes: int | None = DEFAULT_MAX_BYTES) -> list[str]:
    """Serialize many messages: checked together, and one by one only where something may be wrong."""
    try:
        texts = _encode_all(values)
        together = "".join(texts)
        is_whole = not _ODD_END.search(together) or not _loses_a_key(together, list(values))
        is_fine = is_whole and _is_storable(together)
    except (TypeError, ValueError, RecursionError):
        is_fine = False
    # No character takes more than four bytes.
    if is_fine and (max_bytes is None or 4 * max(map(len, texts), default=0) <= max_bytes):
        return texts
    return [dumps(value, max_bytes=max_bytes) for value in values]


def check_size(text: str, max_bytes: int | None, *, what: str = "message") -> None:
    """Refuse a JSON text that is larger than the limit, in UTF-8 bytes."""
    if max_bytes is not None and len(text) * 4 > max_bytes and (size := len(text.encode())) > max_bytes:
        raise _invalid(
            what,
            f"The {what} has {size:,} bytes, the limit is {max_bytes:,} ([pgmq] max_message_bytes). "
            "Send a reference to the data instead of the data.",
        )


def dumps_headers(headers: Mapping[str, Any] | None) -> str:
    """Serialize headers, which PGMQ keeps as one JSON object."""
    return dumps(plain_headers(headers), what="headers")


def plain_headers(headers: Mapping[str, Any] | None) -> dict[str, Any]:
    """A copy of the headers as a dict, empty if there are none.

    :raises InvalidMessage: they are not a mapping
    """
    if headers is not None and not isinstance(headers, Mapping):
        raise InvalidMessage(f"Headers must be a mapping, not {type(headers).__name__}.")
    return dict(headers or {})
