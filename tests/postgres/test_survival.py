"""Whatever happens to ticks, every slot of every job is one message."""

from __future__ import annotations

import random
import signal
from collections import Counter, defaultdict
from datetime import timedelta
from itertools import count
from time import monotonic

import pytest

from tests.fixtures.factories import execute, hours, job, queued, seconds, slot, slots_in, state, tick
from tests.postgres.processes import CONTEXT, at_once, consumers, run_ticks

KILLS = 50
JOBS = 150


def run_for(dsn, one, longest=None, halt_after=None):
    """Run a tick in a process that is killed after `longest` seconds, or when this many of its transactions
    have ended; returns how long it took, None if killed.
    """
    started, child = CONTEXT.Pipe(duplex=False)
    process = CONTEXT.Process(target=run_ticks, args=(dsn, [one], child, halt_after))
    process.start()
    started.recv()
    begun = monotonic()
    process.join(longest)
    took = monotonic() - begun
    process.kill()
    process.join()
    assert process.exitcode in (0, -signal.SIGKILL)
    return None if process.exitcode else took


@pytest.mark.slow
def test_killed_ticks_lose_and_repeat_nothing(database, client):
    """New versions come while the kills go on, so that they hit deploys that take messages back, too."""

    def deployed(version):
        return tick(*(job(f"job{n}", version=version) for n in range(JOBS)))

    tick(*deployed(0).jobs, look_ahead=0).run(client)
    start = state(database, "job0")["watermark"]
    longest = run_for(database.dsn, deployed(0))

    interrupted = partial = 0
    for kill in range(KILLS):
        version = 1 + kill // 2
        # The first of a version falls among its rounds, which must not be left to chance; the other anywhere.
        if kill % 2:
            how = {"longest": random.uniform(0, longest)}
        else:
            how = {"halt_after": random.randint(5, 17), "longest": 0}
        interrupted += run_for(database.dsn, deployed(version), **how) is None
        sent = sum(row["headers"]["version"] == version for row in queued(database))
        partial += 0 < sent < 10 * JOBS
    deployed(version).run(client)

    assert interrupted > KILLS // 2
    assert partial >= KILLS // 4
    slots = defaultdict(list)
    for row in queued(database):
        slots[row["headers"]["job"]].append(slot(row["headers"]))
    expected = hours(start, state(database, "job0")["horizon"])
    assert len(slots) == JOBS
    assert all(sorted(found) == expected for found in slots.values())


def test_deployments_that_share_a_namespace_send_each_slot_once(database, client):
    jobs = [job(f"job{n}", cron="* * * * * *") for n in range(30)]
    tick(*jobs, look_ahead=0).run(client)
    start = state(database, "job0")["watermark"]
    ticks = [tick(*jobs, look_ahead=n / 600) for n in range(20)]

    sent = at_once(run_ticks, [(database.dsn, ticks)] * 3)

    expected = seconds(start, state(database, "job0")["horizon"])
    assert all(slots_in(database, each.name) == expected for each in jobs)
    assert sum(sent) == len(queued(database))
    assert max(sent) < sum(sent)


@pytest.mark.parametrize("versions", [(1, 2), (0, 0)], ids=["with versions", "without"])
@pytest.mark.parametrize("way", ["in turn", "at once"])
def test_rolling_deploy_sends_each_slot_once(database, client, way, versions):
    """With versions the new code's jobs stay from its first tick on; without, the last tick decides."""
    old_jobs = [job(name, "* * * * * *", message="old") for name in ("changed", "removed")]
    new_jobs = [job(name, "* * * * * *", message="new") for name in ("changed", "added")]
    for jobs in (old_jobs, new_jobs):
        jobs.append(job("same", "* * * * * *"))
    tick(*old_jobs, look_ahead=0, version=versions[0]).run(client)
    start = state(database, "same")["watermark"]
    old = [tick(*old_jobs, look_ahead=n / 600, version=versions[0]) for n in range(1, 20)]
    new = [tick(*new_jobs, look_ahead=n / 600, version=versions[1]) for n in range(1, 20)]

    if way == "in turn":
        for each in (tick for pair in zip(old, new, strict=True) for tick in pair):
            each.run(client)
    else:
        at_once(run_ticks, [(database.dsn, old), (database.dsn, new)])
    last = tick(*new_jobs, look_ahead=0.05, version=versions[1])
    last.run(client)

    horizon = state(database, "same")["horizon"]
    assert slots_in(database, "same") == seconds(start, horizon)
    assert slots_in(database, "changed") == seconds(start, horizon)
    now = execute(database, "SELECT now() AS now")[0]["now"]
    hidden = [row for row in queued(database) if row["vt"] > now]
    assert {row["message"] for row in hidden if row["headers"]["job"] == "changed"} == {"new"}
    assert {row["headers"]["job"] for row in hidden} == {"same", "changed", "added"}


@pytest.mark.slow
def test_consumers_and_withdrawals_never_share_a_message(database, client):
    """Every tick deploys again while messages become visible all the time."""

    def deployed(version):
        names = (f"job{n}" for n in range(20))
        jitter = timedelta(seconds=3)
        jobs = (job(name, "* * * * * *", version=version, jitter=jitter) for name in names)
        return tick(*jobs, look_ahead=0.002)

    tick(*deployed(0).jobs, look_ahead=0).run(client)
    start = state(database, "job0")["watermark"]
    taken_back = consumed = 0
    versions = count(1)
    with consumers(database.dsn, 2):
        while taken_back < 2000 or consumed < 100:
            taken_back += deployed(next(versions)).run(client).taken_back
            consumed = len(execute(database, "SELECT msg_id FROM pgmq.a_mail"))

    rows = [*execute(database, "SELECT headers FROM pgmq.a_mail"), *queued(database)]
    found = Counter((row["headers"]["job"], slot(row["headers"])) for row in rows)
    horizon = state(database, "job0")["horizon"]
    assert found == Counter((f"job{n}", at) for n in range(20) for at in seconds(start, horizon))
