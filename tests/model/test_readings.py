"""The clock advances with every reading: all decisions of a transaction must use one time."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from airflow_pgmq.db.client import Client
from airflow_pgmq.services import job_control
from tests.fixtures.clock import SchemaClock, database_with_clock
from tests.fixtures.factories import client_of, execute, queued, slot
from tests.model.facts import Definition
from tests.model.schedules import SECOND, Every
from tests.model.steps import QUEUES, STARTS, Story, first_definition
from tests.model.world import NAMESPACE, tick_of

JOB = replace(first_definition("a"), schedule=Every(1), catch_up="none")


@pytest.fixture
def moving(postgres_server) -> Iterator[SchemaClock]:
    with database_with_clock(postgres_server) as clock:
        for queue in QUEUES:
            execute(clock.database, "SELECT pgmq.create(%s)", [queue])
        yield clock


def as_it_was(client: Client, number: int) -> Definition:
    return JOB


def another_payload(client: Client, number: int) -> Definition:
    return replace(JOB, payload={"n": number})


def another_queue(client: Client, number: int) -> Definition:
    return replace(JOB, queue=QUEUES[number % 2])


def another_jitter(client: Client, number: int) -> Definition:
    return replace(JOB, jitter=timedelta(seconds=number))


def paused_and_resumed(client: Client, number: int) -> Definition:
    client.run(lambda: job_control.pause(NAMESPACE, "a"))
    client.run(lambda: job_control.resume(NAMESPACE, "a"))
    # With every reading more time passes than the grace.
    return replace(JOB, catch_up="all")


@pytest.mark.parametrize("look_ahead", [0, 3, 30])
@pytest.mark.parametrize(
    "change", [as_it_was, another_payload, another_queue, another_jitter, paused_and_resumed]
)
def test_every_slot_is_sent_once(
    moving: SchemaClock, change: Callable[[Client, int], Definition], look_ahead: int
):
    client = client_of(moving.database.dsn)
    moving.set(STARTS[0], step=timedelta(seconds=0.4))
    story = Story((), look_ahead=look_ahead * SECOND)
    tick_of({"a": JOB}, story).run(client)
    for number in range(1, 40):
        tick_of({"a": change(client, number)}, story).run(client)

    times: Counter[Any] = Counter(
        slot(row["headers"]) for queue in QUEUES for row in queued(moving.database, queue)
    )
    assert set(times.values()) == {1}
    assert len(times) > 20
    assert sorted(times) == [min(times) + SECOND * n for n in range(len(times))]
