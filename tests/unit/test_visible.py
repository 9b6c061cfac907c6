from airflow_pgmq.core.visible import MESSAGES, QUEUE, public


def test_only_what_is_listed_is_left():
    shape = {"a": None, "b": {"c": None}}
    assert public({"a": 1, "b": [{"c": [1, 2], "d": 3}], "x": 4}, shape) == {"a": 1, "b": [{"c": [1, 2]}]}


def test_an_object_where_a_plain_value_is_expected_is_left_out():
    assert public({"a": {"b": 1}}, {"a": None}) == {"a": None}
    assert public({"a": [1, {"b": 1}, [2]]}, {"a": None}) == {"a": [1, None, [2]]}


def test_a_plain_value_where_objects_are_expected_is_left_out():
    assert public({"b": "text"}, {"b": {"c": None}}) == {"b": None}
    assert public({"b": ["text", {"c": 1}]}, {"b": {"c": None}}) == {"b": [None, {"c": 1}]}


def test_a_message_is_only_what_pgmq_keeps_of_it():
    row = {"msg_id": 1, "dedup_key": "k", "group": "g", "headers": {"a": 1}, "message": 1, "job": "j"}
    assert public({"messages": [row], "next_after": 2}, MESSAGES) == {
        "messages": [{"msg_id": 1}],
        "next_after": 2,
    }


def test_problems_that_quote_the_database_keep_their_words_for_themselves():
    problems = [
        {"code": "unreadable", "severity": "warning", "text": "role app: secret", "fix": "secret"},
        {"code": "dead_letters", "severity": "warning", "text": "3 dead letters", "fix": "Read them."},
    ]
    hidden, told = public({"problems": problems}, QUEUE)["problems"]

    assert "secret" not in str(hidden)
    assert hidden["code"] == "unreadable"
    assert told == problems[1]
