"""Python's own types become JSON in one way; other types are refused, with their place."""

from __future__ import annotations

import dataclasses
import json
import re
import subprocess
import sys
from collections.abc import Callable
from datetime import date, datetime, time, timedelta, timezone
from decimal import Decimal
from enum import Enum, Flag, IntEnum
from typing import Any, NamedTuple
from uuid import UUID

import pydantic
import pytest

from airflow_pgmq.core import payload
from airflow_pgmq.errors import InvalidMessage

ID = UUID("0198c0de-0000-7000-8000-000000000001")
EAST = timezone(timedelta(hours=5, minutes=30))
#: Every way to the encoder must give the same result.


def named(value: Any) -> str:
    """The same in each process of a test run."""
    return re.sub(r" at 0x[0-9a-f]+", "", repr(value))


ENCODERS: list[Callable[[Any], str]] = [
    payload.dumps,
    payload.canonical,
    lambda value: payload.dumps_all([value])[0],
    lambda value: json.dumps(json.loads(payload.dumps_headers({"h": value}))["h"]),
]


class Color(Enum):
    RED = "red"
    AT = date(2026, 1, 2)
    ODD = object()


class Text(str, Enum):
    A = "a"


class Size(IntEnum):
    BIG = 3


class Right(Flag):
    READ = 1
    WRITE = 2


class Pair(NamedTuple):
    x: int
    y: Any


@dataclasses.dataclass(frozen=True)
class Line:
    sku: str
    price: Decimal


@dataclasses.dataclass
class Order:
    id: UUID
    lines: list[Line]
    color: Color = Color.RED
    more: Any = None


class Item(pydantic.BaseModel):
    sku: str = pydantic.Field(alias="SKU")
    price: Decimal
    at: datetime
    tags: set[str] = pydantic.Field(default_factory=set)
    raw: Any = None


def item(**more: Any) -> Any:
    return Item(SKU="a", price=Decimal("1.10"), at=datetime(2026, 1, 2, tzinfo=timezone.utc), **more)


@pytest.mark.parametrize("encode", ENCODERS)
@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (datetime(2026, 1, 2, 3, 4, 5, tzinfo=timezone.utc), "2026-01-02T03:04:05+00:00"),
        (datetime(2026, 1, 2, 3, 4, 5, 600, tzinfo=EAST), "2026-01-02T03:04:05.000600+05:30"),
        # The zone of a naive one is unknown: none is added.
        (datetime(2026, 1, 2, 3, 4, 5), "2026-01-02T03:04:05"),
        (date(2026, 1, 2), "2026-01-02"),
        (time(3, 4), "03:04:00"),
        (time(3, 4, tzinfo=EAST), "03:04:00+05:30"),
        (ID, "0198c0de-0000-7000-8000-000000000001"),
        (Decimal("1.10"), "1.10"),
        (Decimal("1E+30"), "1E+30"),
        (Decimal("0.1000000000000000055511151231257827"), "0.1000000000000000055511151231257827"),
        (Color.RED, "red"),
        (Color.AT, "2026-01-02"),
        (Text.A, "a"),
        (Size.BIG, 3),
        (Right.READ | Right.WRITE, 3),
        (Pair(1, ID), [1, str(ID)]),
        (Line("a", Decimal(2)), {"sku": "a", "price": "2"}),
        (
            Order(ID, [Line("a", Decimal("1.5"))], more={"at": date(2026, 1, 2)}),
            {
                "id": str(ID),
                "lines": [{"sku": "a", "price": "1.5"}],
                "color": "red",
                "more": {"at": "2026-01-02"},
            },
        ),
        ([{"deep": (Color.RED, {"er": [ID]})}], [{"deep": ["red", {"er": [str(ID)]}]}]),
    ],
    ids=named,
)
def test_a_value_is_json_in_its_one_obvious_way(encode, value, expected):
    assert json.loads(encode(value)) == expected


@pytest.mark.parametrize("encode", ENCODERS)
def test_a_model_is_what_pydantic_makes_of_it(encode):
    """By the names of its fields, pydantic's default, and with pydantic's rules for sets and NaN."""
    assert json.loads(encode({"items": [item(tags={"x"}, raw=float("nan"))]})) == {
        "items": [{"sku": "a", "price": "1.10", "at": "2026-01-02T00:00:00Z", "tags": ["x"], "raw": None}]
    }


def test_a_model_may_decide_for_aliases_itself():
    class Aliased(pydantic.BaseModel):
        model_config = pydantic.ConfigDict(serialize_by_alias=True)
        name: str = pydantic.Field(serialization_alias="Name")

    assert payload.dumps(Aliased(name="a")) == '{"Name":"a"}'


def test_root_models_and_dataclasses_of_pydantic():
    class Numbers(pydantic.RootModel[list[Decimal]]):
        pass

    @pydantic.dataclasses.dataclass
    class Point:
        x: Decimal

    assert payload.dumps([Numbers([Decimal(1)]), Point(Decimal(2))]) == '[["1"],{"x":"2"}]'


def test_what_a_subclass_of_datetime_says_of_itself():
    pendulum = pytest.importorskip("pendulum")
    value = pendulum.datetime(2026, 1, 2, 3, tz="Europe/Berlin")
    assert payload.dumps(value) == '"2026-01-02T03:00:00+01:00"'


# No obvious way.


@pytest.mark.parametrize("encode", ENCODERS[:3])
@pytest.mark.parametrize(
    ("value", "reason"),
    [
        ({"a": timedelta(1)}, r"a timedelta at $.a; use .total_seconds()"),
        ({"a": [{1}]}, r"a set at $.a[0]; use a list"),
        ({"a": frozenset()}, r"a frozenset at $.a; use a list"),
        ({"a": b"x"}, r"a bytes at $.a; decode it"),
        ({"a": bytearray()}, r"a bytearray at $.a; decode it"),
        ({"a": 1j}, r"a complex at $.a;"),
        ({"a": Decimal("NaN")}, r"a Decimal that is NaN at $.a; use None"),
        ({"a": Decimal("-Infinity")}, r"a Decimal that is -Infinity at $.a; use None"),
        ({"a": Color.ODD}, r"a object at $.a;"),
        ({"a": Order}, r"a type at $.a;"),
        ([Order(ID, [Line("a", {2})])], r"a set at $[0].lines[0].price;"),
        ([Order(ID, [], more=float("nan"))], r"nan at $[0].more; use null"),
        ([Line("\x00", Decimal(1))], r"a NUL character at $[0].sku"),
        ({"m": item(raw=object())}, r"a Item that pydantic cannot dump"),
        ({"a": (each for each in "x")}, r"a generator at $.a;"),
        ({"a": {ID: object()}}, rf"a object at $.a.{ID};"),
    ],
    ids=named,
)
def test_what_has_no_obvious_way_is_refused_with_its_place(encode, value, reason):
    with pytest.raises(InvalidMessage) as caught:
        encode(value)
    assert reason in str(caught.value)


# Keys.


@pytest.mark.parametrize("encode", ENCODERS)
@pytest.mark.parametrize(
    ("key", "text"),
    [
        (1, "1"),
        (-1.5, "-1.5"),
        (True, "true"),
        (None, "null"),
        (Color.RED, "red"),
        (Text.A, "a"),
        (Size.BIG, "3"),
        (Right.WRITE, "2"),
        (ID, str(ID)),
        (Decimal("1.10"), "1.10"),
        (date(2026, 1, 2), "2026-01-02"),
        (datetime(2026, 1, 2, tzinfo=timezone.utc), "2026-01-02T00:00:00+00:00"),
    ],
    ids=named,
)
def test_a_key_is_the_text_of_its_value(encode, key, text):
    assert json.loads(encode({key: 1, "other": {"in": [{key: 2}]}})) == {
        text: 1,
        "other": {"in": [{text: 2}]},
    }


@pytest.mark.parametrize("encode", ENCODERS[:3])
@pytest.mark.parametrize(
    ("one", "other", "text"),
    [
        (1, "1", "1"),
        (-7, "-7", "-7"),
        (1.5, "1.5", "1.5"),
        (1e300, "1e+300", "1e+300"),
        (True, "true", "true"),
        (False, "false", "false"),
        (None, "null", "null"),
        (Color.RED, "red", "red"),
        (Right.READ, 1, "1"),
        (ID, str(ID), str(ID)),
        (date(2026, 1, 2), Color.AT, "2026-01-02"),
        (Decimal("1.50"), "1.50", "1.50"),
    ],
    ids=named,
)
@pytest.mark.parametrize("turned", [False, True])
def test_two_keys_that_json_cannot_tell_apart_are_refused(encode, one, other, text, turned):
    first, second = (other, one) if turned else (one, other)
    with pytest.raises(InvalidMessage) as caught:
        encode({"a": [{first: "x", second: "y"}]})
    assert f"the keys {first!r} and {second!r} at $.a[0], both {text!r} in JSON" in str(caught.value)


def test_the_message_that_loses_a_key_is_found_among_many():
    with pytest.raises(InvalidMessage, match="the keys 1 and '1' at"):
        payload.dumps_all([{"a": 1}, {"b": [{1: 2, "1": 3}]}, {"c": 1}])


@pytest.mark.parametrize(
    "value",
    [
        {1: 1, 2: 2, 3.5: 3},
        {True: 1, 2: 2},
        {"1": 1, "2": 2},
        {"address1": "x", 'quote "1': 2, "null": {}},
        {"2026": {"true": [None]}},
        {1: "a", "b": 2, None: 3},
    ],
    ids=named,
)
def test_keys_that_only_look_alike_are_accepted(value):
    texts = {encode(value) for encode in ENCODERS[:1] + ENCODERS[2:3]}
    assert texts == {json.dumps(value, separators=(",", ":"))}


def test_a_cycle_beside_an_odd_key_ends():
    loop: dict[Any, Any] = {ID: 1}
    loop["self"] = [loop, loop]
    with pytest.raises(InvalidMessage, match="contains itself"):
        payload.dumps(loop)


def test_a_wide_cycle_is_found_at_once():
    """Not only when it is too deep, which would take gigabytes."""
    order: dict[Any, Any] = {"id": ID}
    order["lines"] = [{"n": n, "order": order} for n in range(2000)]
    with pytest.raises(InvalidMessage, match=r"contains itself at \$\.lines\[0\]\.order"):
        payload.dumps(order)
    # A value that is there twice, but not inside itself, is no cycle.
    twice = [ID]
    assert json.loads(payload.dumps({"a": twice, "b": [twice, twice]}))["b"][1] == [str(ID)]


def test_sets_in_models_have_one_order():
    class Tagged(pydantic.BaseModel):
        tags: set[str]
        inner: list[dict[str, frozenset[int]]]

    names = [f"tag{n}" for n in range(50)]
    value = Tagged(tags=set(names), inner=[{"x": frozenset(range(30))}])
    made = json.loads(payload.dumps({"m": value}))["m"]
    assert made["tags"] == sorted(names)
    assert sorted(made["inner"][0]["x"]) == list(range(30))


def test_an_enum_in_an_enum_ends():
    class Endless(Enum):
        A = 1

    Endless.A._value_ = [Endless.A]
    with pytest.raises(InvalidMessage, match="contains itself"):
        payload.dumps({ID: Endless.A})


# numpy and pandas.


def test_scalars_of_numpy():
    np = pytest.importorskip("numpy")
    value = {
        "ints": [np.int8(-1), np.int64(2**62), np.uint64(2**64 - 1)],
        "floats": [np.float16(0.5), np.float32(0.25), np.float64(0.1)],
        "bool": np.bool_(True),
        "text": np.str_("ä"),
        "at": np.datetime64("2026-01-02T03:04:05"),
        np.int64(5): 1,
    }
    assert json.loads(payload.dumps(value)) == {
        "ints": [-1, 2**62, 2**64 - 1],
        "floats": [0.5, 0.25, 0.1],
        "bool": True,
        "text": "ä",
        "at": "2026-01-02T03:04:05",
        "5": 1,
    }


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        ("float64('nan')", "nan at $.a"),
        ("float32('inf')", "inf at $.a"),
        ("array([1, 2])", "a ndarray at $.a; use .tolist()"),
        ("array(1)", "a ndarray at $.a; use .tolist()"),
        ("datetime64('NaT', 's')", "a datetime64 at $.a;"),
        ("timedelta64(5, 's')", "a timedelta64 at $.a; convert it to a number of seconds"),
        ("timedelta64(5, 'ns')", "a timedelta64 at $.a; convert it to a number of seconds"),
        ("complex64(1)", "a complex64 at $.a;"),
        ("bytes_(b'x')", "a bytes_ at $.a; decode it"),
        ("longdouble(1)", "a longdouble at $.a;"),
    ],
)
def test_what_of_numpy_is_refused(make, reason):
    np = pytest.importorskip("numpy")
    with pytest.raises(InvalidMessage) as caught:
        payload.dumps({"a": eval(f"np.{make}", {"np": np})})
    assert reason in str(caught.value)


def test_scalars_of_pandas():
    pd = pytest.importorskip("pandas")
    value = [pd.Timestamp("2026-01-02 03:04:05.123456789", tz="UTC"), pd.Timestamp("2026-01-02")]
    assert json.loads(payload.dumps(value)) == ["2026-01-02T03:04:05.123456789+00:00", "2026-01-02T00:00:00"]
    frame = pd.DataFrame({"n": [1, 2], "x": [0.5, 1.0]})
    assert json.loads(payload.dumps(frame.iloc[0].to_dict())) == {"n": 1.0, "x": 0.5}
    assert json.loads(payload.dumps({each: frame.loc[each, "n"] for each in frame.index})) == {"0": 1, "1": 2}


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        ("NaT", "a NaTType at $.a; use None"),
        ("NA", "a NAType at $.a; use None"),
        ("Timedelta('1s')", "a Timedelta at $.a; use .total_seconds()"),
        ("Series([1])", "a Series at $.a; use .to_list()"),
        ("DataFrame({'a': [1]})", "a DataFrame at $.a; use .to_dict('records')"),
    ],
)
def test_what_of_pandas_is_refused(make, reason):
    pd = pytest.importorskip("pandas")
    with pytest.raises(InvalidMessage) as caught:
        payload.dumps({"a": eval(f"pd.{make}", {"pd": pd})})
    assert reason in str(caught.value)


def test_nothing_is_imported_to_encode():
    code = (
        "import sys; from airflow_pgmq.core import payload; payload.dumps_all([{'a': 1, '1': {1: object}}])"
    )
    caught = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert "a type at $.1.1" in caught.stderr
    code = (
        "import sys, uuid; from airflow_pgmq.core import payload; payload.dumps({uuid.uuid4(): uuid.uuid4()})"
        "\nassert not {'numpy', 'pandas', 'pydantic'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
