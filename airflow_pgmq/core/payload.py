"""Python values → the JSON text that Postgres's `jsonb` accepts, or an error that says where it is wrong."""

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
#: What a message is made of; whatever else becomes JSON here is an argument.
_OF_A_MESSAGE = ("message", "headers", "group")


def _encoder(*, sort_keys: bool = False) -> tuple[Callable[[Any], str], Callable[[Iterable[Any]], list[str]]]:
    """json's encoder for one value and for many; to make its C part takes as long as a value, so once."""
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


#: Where a key ends that may look like a number, true, false or null: the cheap search that all messages get.
_ODD_END = re.compile(
    r'":(?<=["0-9.+\-uls][0-9el]":)(?:(?<=["0-9.+\-][0-9]":)|(?<="[tn][ru][ul][el]":)|(?<="false":))'
)
_ODD_KEY = re.compile(r'"(?:-?[0-9][^"]*|true|false|null)":')
_decode = json.JSONDecoder().raw_decode
_encode, _encode_all = _encoder()
_encode_sorted, _ = _encoder(sort_keys=True)


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
    """Serialize for `jsonb`: refuses NaN, NUL, lone surrogates, foreign types and what is too large.

    Types that are not JSON but have one obvious way to be are written so: `json_types`.
    """
    return _dumps(value, _encode, what, max_bytes)


def plain(value: Any, *, what: str) -> Any:
    """The value that its reader would find, for what is compared or stored elsewhere before it is sent."""
    return None if value is None else json.loads(dumps(value, what=what, max_bytes=None))


def _dumps(value: Any, encode: Callable[[Any], str], what: str, max_bytes: int | None) -> str:
    try:
        text = encode(value)
        # Who sorts the keys has seen whether they can be sorted.
        is_whole = encode is _encode_sorted or not _ODD_END.search(text) or not _loses_a_key(text, value)
        is_fine = is_whole and _is_storable(text)
    except (TypeError, ValueError, RecursionError):
        is_fine = False
    if not is_fine:
        text = _in_steps(value, encode, what)
    check_size(text, max_bytes, what=what)
    return text


def _in_steps(value: Any, encode: Callable[[Any], str], what: str) -> str:
    """The slow way: it knows where in the value it is, and all keys become text."""
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
    """Whether Postgres takes it; raises UnicodeEncodeError for half of a surrogate pair."""
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
    """The same with keys in order: as the database sees it, their order is none."""
    return _dumps(value, _encode_sorted, what, None)


def is_same(one: Any, other: Any) -> bool:
    """Whether two values are the same JSON: to Python, so would be 1 and true."""
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
    """Headers as a dict of their own, empty where there are none.

    :raises InvalidMessage: they are no mapping
    """
    if headers is not None and not isinstance(headers, Mapping):
        raise InvalidMessage(f"Headers must be a mapping, not {type(headers).__name__}.")
    return dict(headers or {})
