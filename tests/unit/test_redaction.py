import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_pgmq.core.redaction import DEFAULT_KEYS, DEPTH, HIDDEN, hidden_values, parse_keys, redact, scrub

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


@pytest.mark.parametrize(
    ("reason", "told"),
    [
        ("login with 'hunter2' failed", "login with '***' failed"),
        ("hunter2hunter2", "******"),
        ("no hunter", "no ***"),
        ("password=other, user=me", "password=*** user=me"),
        ("{'password': 'other', 'user': 'me'}", "{'password': ***, 'user': 'me'}"),
        ('{"api_key": "a b", "n": 1}', '{"api_key": ***, "n": 1}'),
        ("Key (token)=(abc) already exists.", "Key (token)=*** already exists."),
        ("pin 7 of 17", "pin *** of 17"),
        (r"a \"quoted\" one", "a *** one"),
        ("monkey=1", "monkey=1"),
    ],
)
def test_values_under_the_keys_are_removed_from_a_text(reason, told):
    message = {"password": "hunter2", "deep": [{"secret": {"pin": 7, "more": ['"quoted"']}}]}
    assert scrub(reason, set(hidden_values(message, KEYS)), KEYS) == told


def test_what_cannot_be_looked_through_is_hidden_as_a_whole():
    assert scrub("x" * 30_000, {"y"}, KEYS) == HIDDEN
    assert scrub("x", {str(n) for n in range(1000)}, KEYS) == HIDDEN
    assert scrub("password=x", {"x"}, frozenset()) == "password=x"


@given(st.text(min_size=4), st.text(), st.text())
def test_no_value_is_left_in_a_text(value, before, after):
    assert value not in scrub(before + value + after, {value}, KEYS).replace(HIDDEN, "\x00")
