"""`core.json_contains` gives the same results as jsonb's `@>`."""

from __future__ import annotations

import json

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from airflow_pgmq.core.json_contains import contains
from tests.fixtures.factories import execute

scalars = st.sampled_from([None, True, False, 0, 1, 1.0, 1.5, -1, "", "a", "b", "1"])
values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("abc"), inner, max_size=3),
    max_leaves=8,
)


def postgres_says(database, pairs) -> list[bool]:
    rows = execute(
        database,
        "SELECT value::jsonb @> wanted::jsonb AS contains"
        " FROM unnest(%s::text[], %s::text[]) WITH ORDINALITY AS pair (value, wanted, n) ORDER BY n",
        [[json.dumps(value) for value, _ in pairs], [json.dumps(wanted) for _, wanted in pairs]],
    )
    return [row["contains"] for row in rows]


@pytest.mark.parametrize(
    ("value", "wanted", "expected"),
    [
        ({"a": 1, "b": 2}, {"a": 1}, True),
        ({"a": {"b": [1, 2]}}, {"a": {"b": [2]}}, True),
        ({"a": True}, {"a": 1}, False),
        ({"a": 1.0}, {"a": 1}, True),
        (["a", "b"], "a", True),
        ({"x": ["a"]}, {"x": "a"}, False),
        ([["a"]], "a", False),
        ([1, 2, 2], [2, 2, 1], True),
        ([], {}, False),
        ({}, {}, True),
    ],
)
def test_known_cases(database, value, wanted, expected):
    assert contains(value, wanted) is expected
    assert postgres_says(database, [(value, wanted)]) == [expected]


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(pairs=st.lists(st.tuples(values, values), min_size=20, max_size=60))
def test_any_pair(database, pairs):
    assert [contains(value, wanted) for value, wanted in pairs] == postgres_says(database, pairs)
