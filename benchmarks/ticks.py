"""Ticks over 10,000 jobs, each in a process of its own, like a task."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from statistics import median
from typing import Any

from benchmarks.findings import Bars, Figure, Finding
from benchmarks.measure import milliseconds
from benchmarks.stage import Database, Stage

JOBS = 10_000
#: Every job has one slot a day.
DAY = 86_400
TEN_MINUTES = 600

DUE_SECONDS = 0.9
#: Jobs that are deployed in the same tick.
NEW_SECONDS = 3.0
#: Jobs with templates, of which 100 are distinct.
TEMPLATED_SECONDS = 2.5
IDLE_SECONDS = 0.15
MEGABYTES = 200

Measured = dict[str, Any]


def run(stage: Stage) -> Iterator[Finding]:
    """Deploy, enqueue a slot of each job, then tick again."""
    database = stage.database("ticks")
    first: list[Measured] = []
    due: list[Measured] = []
    idle: list[Measured] = []
    templated: list[Measured] = []
    for number in range(stage.rounds):
        stage.progress(f"round {number + 1} of {stage.rounds}")
        first.append(tick(database, f"new-{number}", database.new_queue(alone=True), DAY))
        known = database.new_queue(alone=True)
        tick(database, f"known-{number}", known, 0)
        due.append(tick(database, f"known-{number}", known, DAY))
        idle.append(tick(database, f"known-{number}", known, TEN_MINUTES))
        rendered = database.new_queue(alone=True)
        tick(database, f"rendered-{number}", rendered, 0, templates=True)
        templated.append(tick(database, f"rendered-{number}", rendered, DAY, templates=True))
    # A day and the moments between two ticks: a few jobs have a second slot in it.
    assert all(each["summary"]["sent"] >= JOBS for each in first + due)
    assert all(each["summary"]["slots"] == 0 for each in idle)
    for what, ticks, under in (
        ("known jobs", due, DUE_SECONDS),
        ("new jobs, so they are deployed too", first, NEW_SECONDS),
        ("known jobs, whose messages are templates, 100 distinct ones", templated, TEMPLATED_SECONDS),
    ):
        yield Figure(
            f"one tick over 10,000 jobs with distinct crons, 10,000 slots due; {what}",
            f"under {under * 1000:,.0f} ms",
            milliseconds(column(ticks, "tick")),
            median(column(ticks, "tick")) / under,
        )
    peak = max(column(due + first, "memory")) / 1e6
    yield Figure(
        "the same, memory above that of a process that imported Airflow and the operators",
        f"under {MEGABYTES} MB",
        f"{peak:.0f} MB at most",
        peak / MEGABYTES,
    )
    yield Figure(
        "one tick over 10,000 jobs, nothing due",
        f"under {IDLE_SECONDS * 1000:.0f} ms",
        milliseconds(column(idle, "tick")),
        median(column(idle, "tick")) / IDLE_SECONDS,
    )
    yield _chart(due, first, templated, idle)
    every = first + due + idle
    yield Figure(
        "declaring and checking 10,000 jobs at Dag parse; the hook's imports and first connection in a task",
        "for comparison",
        f"{milliseconds(column(every, 'parse'))}; {milliseconds(column(every, 'connect'))}",
        None,
    )


def _chart(
    due: list[Measured], first: list[Measured], templated: list[Measured], idle: list[Measured]
) -> Bars:
    shown = {
        "10,000 slots due": (due, DUE_SECONDS),
        "10,000 slots due, of new jobs": (first, NEW_SECONDS),
        "10,000 slots due, messages of 100 templates": (templated, TEMPLATED_SECONDS),
        "nothing due": (idle, IDLE_SECONDS),
    }
    return Bars(
        "ticks",
        "One tick over 10,000 periodic jobs",
        "milliseconds",
        {what: 1000 * median(column(ticks, "tick")) for what, (ticks, _) in shown.items()},
        ours=list(shown),
        limits={what: 1000 * under for what, (_, under) in shown.items()},
    )


def tick(
    database: Database,
    namespace: str,
    queue_name: str,
    look_ahead: int,
    *,
    jobs: int = JOBS,
    templates: bool = False,
) -> Measured:
    """One tick in a process of its own."""
    arguments = [database.hook.pgmq_conn_id, namespace, queue_name, str(jobs), str(look_ahead)]
    arguments += ["templates"] if templates else []
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.tick_process", *arguments], stdout=subprocess.PIPE, check=True
    )
    measured: Measured = json.loads(done.stdout.splitlines()[-1])
    return measured


def column(measured: list[Measured], name: str) -> list[float]:
    """One value of each tick."""
    return [each[name] for each in measured]
