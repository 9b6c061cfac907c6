import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_pgmq.core.redaction import DEFAULT_KEYS, DEPTH, HIDDEN, parse_keys, redact

KEYS = parse_keys(DEFAULT_KEYS)

values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text() | st.sampled_from(["token", "Secret"]), inner),
    max_leaves=20,
)


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ({"password": "x"}, {"password": HIDDEN}),
        ({"API_Key": {"deep": 1}}, {"API_Key": HIDDEN}),
        ({"a": [{"token": 1}, 2]}, {"a": [{"token": HIDDEN}, 2]}),
        ({"token": None}, {"token": HIDDEN}),
    ],
)
def test_values_under_the_keys_are_hidden(value, shown):
    assert redact(value, KEYS) == (shown, True)


@pytest.mark.parametrize("value", [{"tokens": 3}, "password", ["secret"], None, 1, {"a": "token"}])
def test_everything_else_is_as_it_was(value):
    assert redact(value, KEYS) == (value, False)


def test_the_order_of_keys_stays():
    shown, _ = redact({"z": 1, "token": 2, "a": 3}, KEYS)
    assert list(shown) == ["z", "token", "a"]


def test_the_original_is_not_touched():
    value = {"a": {"secret": "x"}}
    redact(value, KEYS)
    assert value == {"a": {"secret": "x"}}


def test_too_deep_to_show():
    value = inner = {}
    for _ in range(3 * DEPTH):
        inner["a"] = inner = {}
    inner["secret"] = "hunter2"
    shown, _ = redact(value, KEYS)

    assert "hunter2" not in str(shown)


def test_the_option_is_a_list_of_any_case():
    assert parse_keys(" Iban,pin , ,") == {"iban", "pin"}
    assert parse_keys("") == frozenset()


@given(values)
def test_nothing_under_a_key_is_left(value):
    shown, hidden = redact(value, KEYS)
    todo, seen = [shown], False
    while todo:
        each = todo.pop()
        if isinstance(each, dict):
            for key, inner in each.items():
                if key.lower() in KEYS:
                    seen = True
                    assert inner == HIDDEN
                todo.append(inner)
        elif isinstance(each, list):
            todo += each
    assert seen == hidden
