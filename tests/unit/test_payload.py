"""Values become JSON that Postgres accepts, or an error that says where they are wrong."""

from __future__ import annotations

import json
from types import MappingProxyType
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_pgmq.core import payload
from airflow_pgmq.errors import InvalidMessage

NAN = float("nan")
INF = float("inf")


def nested(depth: int, leaf: Any) -> Any:
    for _ in range(depth):
        leaf = [leaf]
    return leaf


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "null"),
        (True, "true"),
        (0, "0"),
        (-1.5, "-1.5"),
        ("", '""'),
        ("täglich 😀", '"täglich 😀"'),
        ([], "[]"),
        ({}, "{}"),
        ((1, 2), "[1,2]"),
        ({"a": [1, {"b": None}]}, '{"a":[1,{"b":null}]}'),
        ({1: "number as key", None: 1}, '{"1":"number as key","null":1}'),
        ('quote " backslash \\ newline \n', '"quote \\" backslash \\\\ newline \\n"'),
        ("a\u2028b", '"a\u2028b"'),
        (10**30, "1" + "0" * 30),
    ],
)
def test_json_is_compact_and_not_escaped_without_need(value, text):
    assert payload.dumps(value) == text


@pytest.mark.parametrize(
    "value", ["\\u0000", {"\\u0000": "\\\\u0000"}, ["regex: [^\\u0000-\\u007f]"], "u0000"]
)
def test_the_text_of_an_escape_is_allowed(value):
    """Only a real NUL is refused; the text of its escape sequence is no NUL."""
    assert json.loads(payload.dumps(value)) == value


@pytest.mark.parametrize(
    ("value", "where"),
    [
        (NAN, "nan at $;"),
        ([1, INF], "inf at $[1]"),
        ({"a": {"b": [0, -INF]}}, "-inf at $.a.b[1]"),
        ({NAN: 1}, "nan at $ (key)"),
        ("\x00", "a NUL character at $"),
        ({"a": ["ok", "x\x00y"]}, "a NUL character at $.a[1]"),
        ({"a": {"k\x00": 1}}, "a NUL character at $.a (key)"),
        (["\\u0000", "\x00"], "a NUL character at $[1]"),
        ({"a": "\ud83d"}, "a lone surrogate at $.a"),
        ({"a": {"\udc00": 1}}, "a lone surrogate at $.a (key)"),
        ({"a": "\ud83d\ude00"}, "a lone surrogate at $.a"),
        ({"a": (1, {2})}, "a set at $.a[1]"),
        ([b"bytes"], "a bytes at $[0]"),
        ({"a": [{}, object()]}, "a object at $.a[1]; convert it to a string or number first"),
        ({(1, 2): 3}, "a tuple at $ (key); keys must be text"),
        ({"a": MappingProxyType({})}, "a mappingproxy at $.a"),
    ],
)
def test_what_postgres_would_refuse_is_refused_with_its_place(value, where):
    with pytest.raises(InvalidMessage) as caught:
        payload.dumps(value)
    assert "The message is not JSON that Postgres accepts" in str(caught.value)
    assert where in str(caught.value)


def test_a_cycle_is_refused():
    loop: dict[str, Any] = {}
    loop["self"] = [loop]
    with pytest.raises(InvalidMessage, match="contains itself"):
        payload.dumps(loop)


def test_what_is_nested_too_deeply_is_refused():
    with pytest.raises(InvalidMessage, match="nested too deeply"):
        payload.dumps(nested(200_000, 1))


@pytest.mark.parametrize("leaf", [NAN, "\x00", "\ud800", object()])
@pytest.mark.parametrize("depth", [500, 900, 2_000, 9_000])
def test_however_deep_the_fault_is_the_error_is_ours(depth, leaf):
    """Where the encoder's limit lies depends on Python's version."""
    with pytest.raises(InvalidMessage):
        payload.dumps(nested(depth, leaf))


def test_what_is_nested_deeply_is_accepted():
    assert payload.dumps(nested(500, 1)) == "[" * 500 + "1" + "]" * 500


# Size.


@pytest.mark.parametrize(
    ("value", "size"),
    [("x" * 8, 10), ("ä" * 4, 10), ("€" * 3, 11), ("😀" * 2, 10), ("\n" * 4, 10), ({"a": "ä"}, 10)],
)
def test_size_is_counted_in_bytes_of_utf_8(value, size):
    payload.dumps(value, max_bytes=size)
    with pytest.raises(InvalidMessage, match=f"has {size} bytes, the limit is {size - 1}"):
        payload.dumps(value, max_bytes=size - 1)


def test_the_default_limit_is_one_mebibyte():
    payload.dumps("x" * (1024 * 1024 - 2))
    with pytest.raises(InvalidMessage, match="1,048,577 bytes, the limit is 1,048,576"):
        payload.dumps("x" * (1024 * 1024 - 1))


def test_without_a_limit_any_size_is_accepted():
    assert len(payload.dumps("x" * 3_000_000, max_bytes=None)) == 3_000_002


# Headers.


@pytest.mark.parametrize("headers", [None, {}, MappingProxyType({})])
def test_no_headers_are_an_empty_object(headers):
    assert payload.dumps_headers(headers) == "{}"


def test_headers_may_be_any_mapping():
    assert payload.dumps_headers(MappingProxyType({"a": 1})) == '{"a":1}'


@pytest.mark.parametrize("headers", ["text", [("a", 1)], 5])
def test_headers_that_are_no_mapping_are_refused(headers):
    with pytest.raises(InvalidMessage, match="Headers must be a mapping"):
        payload.dumps_headers(headers)


def test_an_error_says_that_it_is_about_the_headers():
    with pytest.raises(InvalidMessage, match=r"The headers is not JSON .* nan at \$\.a"):
        payload.dumps_headers({"a": NAN})


# Anything.

scalars = st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters())
values = st.recursive(
    scalars, lambda inner: st.lists(inner) | st.dictionaries(st.text(st.characters()), inner)
)


def faults(value: Any) -> bool:
    """Whether Postgres would refuse it, by a walk of our own."""
    if isinstance(value, dict):
        return any(faults(key) or faults(item) for key, item in value.items())
    if isinstance(value, list):
        return any(map(faults, value))
    if isinstance(value, float):
        return value != value or value in (INF, -INF)
    return isinstance(value, str) and any(char == "\x00" or "\ud800" <= char <= "\udfff" for char in value)


@given(values)
def test_any_value_comes_back_from_its_json_or_is_refused(value):
    if faults(value):
        with pytest.raises(InvalidMessage):
            payload.dumps(value)
    else:
        assert json.loads(payload.dumps(value)) == value
