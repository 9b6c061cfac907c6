"""Columns of values as the driver sends them."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from psycopg.adapt import PyFormat, Transformer
from psycopg.types.array import ListBinaryDumper, ListDumper

from airflow_pgmq.db.driver.values import ADAPTERS, FIRST, LAST, ColumnDumper

NOON = datetime(2026, 6, 1, 12, tzinfo=timezone.utc)

WIDTHS = (2**15 - 1, 2**31 - 1, 2**63 - 1)
INTEGERS = st.sampled_from(WIDTHS).flatmap(
    lambda most: st.lists(st.none() | st.integers(-most, most), max_size=9)
)
INSTANTS = st.lists(st.none() | st.datetimes(timezones=st.just(timezone.utc)), max_size=9)
NESTED = st.lists(st.lists(st.integers(0, 9), min_size=2, max_size=2), min_size=1, max_size=3)


def dumped(values: list[Any]) -> tuple[Any, Any]:
    """By our dumper, and by the driver's with the same one for the items."""
    dumper = Transformer(ADAPTERS).get_dumper(values, PyFormat.BINARY)
    assert isinstance(dumper, (ColumnDumper, ListDumper))
    if not isinstance(dumper, ColumnDumper):
        return None, None
    return dumper.dump(values), ListBinaryDumper.dump(dumper, values)


@given(INTEGERS | INSTANTS | NESTED | st.lists(st.text(max_size=3)) | st.lists(st.booleans()))
def test_columns_are_as_the_driver_writes_them(values: list[Any]) -> None:
    ours, theirs = dumped(values)
    assert ours == theirs


@pytest.mark.parametrize(
    "values",
    [
        [1, 2, 3],
        [70_000, None],
        [2**40],
        [2**70],
        [FIRST, LAST],
        [None, FIRST],
        [NOON, NOON, FIRST, NOON],
        [datetime.now(timezone(timedelta(hours=9)))],
    ],
)
def test_of_each_kind(values: list[Any]) -> None:
    ours, theirs = dumped(values)
    assert ours == theirs is not None


def test_an_instant_without_a_zone_among_others_is_an_error() -> None:
    with pytest.raises(TypeError):
        dumped([datetime.now(timezone.utc), datetime(2026, 1, 1)])


def test_where_a_query_asks_for_no_format_lists_are_text() -> None:
    assert isinstance(Transformer(ADAPTERS).get_dumper([1], PyFormat.AUTO), ListDumper)
