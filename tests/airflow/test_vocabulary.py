"""One spelling for one idea: in the hook, the operators, the notifier, the commands and the page."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from inspect import Parameter, isfunction, signature
from typing import Any

import pytest

from airflow_pgmq import operators
from airflow_pgmq.cli.definition import get_commands
from airflow_pgmq.hooks import PgmqHook
from airflow_pgmq.notifications import PgmqNotifier
from airflow_pgmq.sensors import PgmqSensor
from airflow_pgmq.triggers import PgmqEventTrigger, PgmqMessageTrigger
from airflow_pgmq.ui import api_actions, api_job, api_live_jobs, api_messages

#: Words for an idea that has another name here.
OTHER_WORDS = {
    "from_archive",
    "where",
    "archived",
    "qty",
    "count",
    "num_batches",
    "max_batch_size",
    "expires_in",
    "expires_at",
    "queue",
    "conn_id",
    "delay_seconds",
    "vt",
    "dedup_keys_scope",
}


def public() -> Iterator[tuple[str, dict[str, Parameter]]]:
    """Everything that Dag authors call, and the page's actions, by name."""
    for name, method in vars_of(PgmqHook).items():
        yield f"hook.{name}", dict(signature(method).parameters)
    kinds = [getattr(operators, name) for name in operators.__all__]
    for kind in (*kinds, PgmqNotifier, PgmqSensor, PgmqEventTrigger, PgmqMessageTrigger):
        yield kind.__name__, dict(signature(kind.__init__).parameters)
    parts = (api_actions, api_job, api_live_jobs, api_messages)
    for route in (route for part in parts for route in part.router.routes):
        endpoint: Any = route
        yield f"page.{endpoint.name}", dict(signature(endpoint.endpoint).parameters)


def vars_of(kind: type[Any]) -> dict[str, Callable[..., Any]]:
    """The methods of our own classes."""
    ours = [each for each in kind.__mro__ if each.__module__.startswith("airflow_pgmq")]
    return {
        name: value
        for each in reversed(ours)
        for name, value in vars(each).items()
        if isfunction(value) and not name.startswith("_")
    }


PUBLIC = dict(public())

#: A command's flags, as parameters are spelled.
COMMANDS = {
    command.name: {arg.flags[-1].lstrip("-").replace("-", "_"): arg for arg in command.args}
    for group in get_commands()
    for each in group.subcommands
    for command in getattr(each, "subcommands", [each])
}

SENDING = (
    "hook.send",
    "hook.send_batch",
    "hook.send_topic",
    "hook.send_batch_topic",
    "hook.send_from_query",
    "PgmqSendOperator",
    "PgmqSendTopicOperator",
    "SqlToPgmqOperator",
    "PgmqNotifier",
)


@pytest.mark.parametrize("name", PUBLIC)
def test_no_idea_has_a_second_name(name: str) -> None:
    assert not PUBLIC[name].keys() & OTHER_WORDS


@pytest.mark.parametrize("name", COMMANDS)
def test_no_command_has_one(name: str) -> None:
    # `--conn-id` is Airflow's own word on its command line.
    assert not COMMANDS[name].keys() - {"conn_id"} & OTHER_WORDS


@pytest.mark.parametrize("name", SENDING)
def test_every_way_to_send_takes_a_ttl(name: str) -> None:
    assert PUBLIC[name]["ttl"].default is None


def test_the_command_does_too() -> None:
    assert "ttl" in COMMANDS["send"]


def test_every_queue_that_is_made_announces_unless_told_not_to() -> None:
    assert {name: each["notify"].default for name, each in PUBLIC.items() if "notify" in each} == {
        "hook.create_queue": True,
        "PgmqQueueOperator": True,
    }
    assert {name for name, flags in COMMANDS.items() if "no_notify" in flags} == {"init", "create"}


def test_messages_that_come_back_come_from_a_source() -> None:
    for name in ("hook.requeue", "PgmqRequeueOperator"):
        assert PUBLIC[name]["source"].default == "dead_letters"
    flag = COMMANDS["requeue"]["source"].kwargs
    assert (flag["choices"], flag["default"]) == (("dead_letters", "archive"), "dead_letters")
    field = api_actions.ToRequeue.model_fields["source"]
    assert (field.annotation.__args__, field.default) == (("dead_letters", "archive"), "dead_letters")  # type: ignore[union-attr]


def test_messages_that_are_looked_at_have_one_too() -> None:
    assert PUBLIC["hook.peek"]["source"].default == "queue"
    assert COMMANDS["peek"]["source"].kwargs["choices"] == ("queue", "archive")
    assert PUBLIC["page.list_messages"]["source"].default == "queue"


def test_three_words_say_how_many() -> None:
    def have(word: str) -> set[str]:
        return {name for name, each in PUBLIC.items() if word in each}

    assert have("batch_size") == {
        "hook.consume",
        "PgmqConsumeOperator",
        "PgmqToSqlOperator",
        "PgmqEventTrigger",
    }
    assert have("max_messages") == {
        "hook.read",
        "hook.read_grouped",
        "hook.read_grouped_rr",
        "hook.read_grouped_head",
        "hook.pop",
        "hook.requeue",
        "PgmqSensor",
        "PgmqRequeueOperator",
    }
    assert have("limit") == {"hook.groups", "hook.peek", "page.list_messages"}
    assert "max_messages" in api_actions.ToRequeue.model_fields
    assert {name for name, flags in COMMANDS.items() if "max_messages" in flags} == {"read", "requeue"}
    assert {name for name, flags in COMMANDS.items() if "limit" in flags} == {
        "groups",
        "peek",
        "preview",
        "tail",
    }


#: Their default depends on what is done.
VARYING = {"batch_size", "limit", "max_messages", "max_reads", "source", "visibility_timeout"}


def test_what_has_one_name_begins_with_one_value() -> None:
    found: dict[str, list[Any]] = {}
    for each in PUBLIC.values():
        for name, parameter in each.items():
            values = found.setdefault(name, [])
            if parameter.default is not Parameter.empty and parameter.default not in values:
                values.append(parameter.default)
    assert {name for name, values in found.items() if len(values) > 1} == VARYING
