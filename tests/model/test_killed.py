"""Processes that tick are killed at any instant: each transaction is done completely or not at all."""

from __future__ import annotations

import random
import time
from pathlib import Path

import pytest

import airflow_pgmq
from tests.fixtures.factories import QUEUE, execute
from tests.fixtures.postgres import Database
from tests.model.test_versions import check_every_second_once, is_sending, ticker


@pytest.mark.chaos
@pytest.mark.timeout(600)
@pytest.mark.parametrize("seed", range(1, 4))
def test_every_slot_is_sent_once(database: Database, seed: int):
    execute(database, "SELECT pgmq.create(%s)", [QUEUE])
    package = Path(airflow_pgmq.__file__).parent
    chance = random.Random(seed)
    for _ in range(20):
        with ticker(package, database.dsn) as running:
            running.until(is_sending)
            # Not a wait for an event: the kill must come at a random time.
            time.sleep(chance.uniform(0, 0.3))
    with ticker(package, database.dsn) as running:
        running.until(is_sending, 2)

    check_every_second_once(database)
