"""Order within groups while workers are killed, frozen beyond their timeout, and fail."""

from __future__ import annotations

import os
import random
import signal
import time
from typing import Any

import psycopg
import pytest

from airflow_pgmq.core.consumer_policy import Policy
from airflow_pgmq.core.groups import GroupCursor
from airflow_pgmq.core.messages import Message
from airflow_pgmq.db.client import Client
from airflow_pgmq.db.statements import groups
from airflow_pgmq.services.consuming import Consumer
from tests.fixtures.factories import QUEUE, client_of, execute
from tests.fixtures.patience import patience
from tests.fixtures.postgres import Database
from tests.fixtures.profiles import FRIENDLY
from tests.postgres.processes import CONTEXT

TIMEOUT = 2
#: Seconds for which a worker is frozen: somebody else gets its messages.
FROZEN = TIMEOUT + 1.0

#: A row for each time that somebody works on a message; only if nobody else has read it: that is a fence.
BEGIN = """
INSERT INTO public.work (grp, number)
SELECT %(grp)s, %(number)s FROM (
    SELECT FROM pgmq.q_mail WHERE msg_id = %(msg_id)s AND read_ct = %(read_ct)s FOR SHARE
) AS ours
"""


def work_off(dsn: str, transactional: bool, seed: int) -> None:
    """Drain until the queue is empty; some of the work fails, and some of it takes longer."""
    choice, client = random.Random(seed), client_of(dsn)
    with psycopg.connect(dsn, options=FRIENDLY, autocommit=True) as own:

        def work(messages: list[Message], conn: Any) -> None:
            (message,) = messages
            values = {**message.message, "msg_id": message.msg_id, "read_ct": message.read_ct}
            own.execute(BEGIN, values)
            if conn is not None:
                conn.execute("INSERT INTO public.effects (grp, number) VALUES (%(grp)s, %(number)s)", values)
            if (luck := choice.random()) < 0.05:
                raise ValueError("not now")
            if luck < 0.2:
                # Work that takes time.
                time.sleep(0.01)

        policy = Policy(
            queue_name=QUEUE,
            groups=GroupCursor(),
            visibility_timeout=TIMEOUT,
            batch_size=5,
            transactional=transactional,
            max_reads=None,
            backoff=0.05,
            max_backoff=0.2,
            stop_after_failures=None,
        )
        while own.execute("SELECT FROM pgmq.q_mail LIMIT 1").fetchall():
            Consumer(client, policy, together=False).drain(work)
            # What waits for its next try becomes visible without an event.
            time.sleep(0.02)


class Crew:
    """Worker processes that are killed and replaced, or frozen for a while."""

    def __init__(self, dsn: str, transactional: bool, workers: int) -> None:
        self._arguments = (dsn, transactional)
        self._choice = random.Random(workers)
        self._seeds = iter(range(10_000))
        self._running = [self._start() for _ in range(workers)]
        self._frozen: dict[Any, float] = {}

    def _start(self) -> Any:
        process = CONTEXT.Process(target=work_off, args=(*self._arguments, next(self._seeds)))
        process.start()
        return process

    def strike(self) -> None:
        """Kill one of them, or freeze it."""
        place = self._choice.randrange(len(self._running))
        process = self._running[place]
        if process in self._frozen or not process.is_alive():
            return
        if self._choice.random() < 0.5:
            process.kill()
            process.join()
            self._running[place] = self._start()
        else:
            os.kill(process.pid, signal.SIGSTOP)
            self._frozen[process] = time.monotonic() + FROZEN

    def thaw(self) -> None:
        """Let those go on that were frozen for long enough."""
        for process in [each for each, until in self._frozen.items() if until <= time.monotonic()]:
            del self._frozen[process]
            os.kill(process.pid, signal.SIGCONT)

    def end(self) -> None:
        """End all of them."""
        for process in self._running:
            process.kill()
            process.join()


def numbers_of(database: Database, table: str, name: str) -> list[int]:
    rows = execute(database, f"SELECT number FROM public.{table} WHERE grp = %s ORDER BY id", [name])
    return [row["number"] for row in rows]


@pytest.mark.direct("each worker has connections of its own")
@pytest.mark.parametrize("transactional", [True, False], ids=["transactional", "at least once"])
@pytest.mark.parametrize(
    ("workers", "names", "each", "blows"),
    [
        (4, 12, 12, 6),
        pytest.param(16, 200, 40, 120, marks=[pytest.mark.chaos, pytest.mark.timeout(1800)]),
    ],
)
def test_groups_stay_in_order(
    database: Database,
    client: Client,
    transactional: bool,
    workers: int,
    names: int,
    each: int,
    blows: int,
) -> None:
    execute(database, "CREATE TABLE public.work (id serial, grp text, number int)")
    execute(database, "CREATE TABLE public.effects (id serial, grp text, number int)")
    execute(
        database,
        "INSERT INTO pgmq.q_mail (vt, message, headers)"
        " SELECT now(), jsonb_build_object('grp', 'g' || g, 'number', n),"
        " jsonb_build_object('x-pgmq-group', 'g' || g)"
        " FROM generate_series(1, %s) AS n, generate_series(1, %s) AS g",
        [each, names],
    )
    client.run(lambda: groups.make_index(QUEUE))
    crew = Crew(database.dsn, transactional, workers)
    try:
        deadline = time.monotonic() + patience(60 if workers == 4 else 900)
        while execute(database, "SELECT FROM pgmq.q_mail LIMIT 1"):
            assert time.monotonic() < deadline, "the queue is not worked off"
            crew.thaw()
            if blows:
                blows -= 1
                crew.strike()
            # The time between two blows.
            time.sleep(0.1)
    finally:
        crew.end()

    for name in (f"g{n}" for n in range(1, names + 1)):
        begun = numbers_of(database, "work", name)
        # Nobody begins a message of the group before the one before it is done, and nobody goes back.
        assert begun == sorted(begun), name
        assert set(begun) == set(range(1, each + 1)), name
        if transactional:
            assert numbers_of(database, "effects", name) == list(range(1, each + 1)), name
