"""The statements of the watcher: many queues in one."""

from __future__ import annotations

import re
from typing import Any

import pytest

from airflow_pgmq.core import names
from airflow_pgmq.db.statements import Statement, on_queue, union, watching
from airflow_pgmq.db.statements.watching import Ask, Seen
from airflow_pgmq.errors import InvalidArgument, InvalidName


def row(position: int, **columns: Any) -> dict[str, Any]:
    return {
        "position": position,
        "visible": 0,
        "oldest": None,
        "next_in": 5.0,
        "paused": False,
        "indexed": True,
        "announced": True,
        "took": 0.1,
        "waited": 0.5,
        **columns,
    }


def test_the_channel_is_the_one_of_pgmqs_clients() -> None:
    assert names.channel("Mail") == "pgmq.q_mail.INSERT"
    # Postgres cuts names longer than 63 bytes, and no listener would get the notification.
    assert len(names.channel("q" * 47).encode()) <= 63


def test_a_part_of_a_union_keeps_its_values_and_identifiers() -> None:
    parts = [on_queue("look", name, lambda rows: None, limits=[1]) for name in ("a", "b")]
    both = union(parts, list)
    assert both.identifiers == {"table_0": ("pgmq", "q_a"), "table_1": ("pgmq", "q_b")}
    assert both.params["limits_0"] == both.params["limits_1"] == [1]
    assert set(re.findall(r"%\((\w+)\)", both.sql)) == {
        f"{name}_{number}" for name in re.findall(r"%\((\w+)\)", parts[0].sql) for number in range(2)
    }
    assert both.queue_name is None
    assert union(parts[:1], list).queue_name == "a"


def test_braces_of_a_literal_stay_in_a_union() -> None:
    (text,) = {union([Statement("send_plain", identifiers={"table": ("t",)})], list).sql}
    assert "'{{}}'" in text
    assert "{table_0}" in text


def test_a_look_answers_each_ask() -> None:
    asks = [Ask.of("a"), Ask.of("b", {"n": 1}), Ask.of("A", headers_condition={"job": "j"})]
    statement = watching.look(dict.fromkeys(asks, 7))
    assert statement.params["positions_0"] == [0, 2]
    assert statement.params["positions_1"] == [1]
    assert statement.params["conditions_1"] == ['{"n":1}']
    assert statement.params["headers_conditions_0"] == [None, '{"job":"j"}']
    seen = statement.decode([row(1, visible=3), row(2), row(0, announced=False)])
    assert seen == {
        asks[0]: Seen(0, None, 5.0, False, 0.1, 0.5),
        asks[1]: Seen(3, None, 5.0, True, 0.1, 0.5),
        asks[2]: Seen(0, None, 5.0, True, 0.1, 0.5),
    }


def test_an_ask_is_checked() -> None:
    with pytest.raises(InvalidName):
        Ask.of("a;b")
    with pytest.raises(InvalidArgument):
        Ask.of("a", {"n": float("inf")})
    assert Ask.of("a", {"n": 1}) == Ask.of("A", {"n": 1})
