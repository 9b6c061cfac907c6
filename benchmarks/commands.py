"""What `airflow pgmq queues` takes beside Airflow's own shortest command, as whole processes."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from statistics import median

from benchmarks.findings import Bars, Figure, Finding
from benchmarks.measure import Stopwatch, Way, milliseconds, ratio, take_turns
from benchmarks.stage import Stage

QUEUES = 10
AT_MOST = 1.15
#: A process takes so long that its time varies little.
ROUNDS = 7


def run(stage: Stage) -> Iterator[Finding]:
    """Each command in turn; the first run of each compiles modules and is not counted."""
    database = stage.database("commands")
    for _ in range(QUEUES):
        database.new_queue()
    # As `airflow pgmq queues`: Airflow 3.1 has no commands of providers.
    ours = ["-m", "airflow_pgmq", "queues", "--conn-id", database.hook.pgmq_conn_id]
    ways = {
        "queues": _process(ours),
        "version": _process(["-m", "airflow", "version"]),
        "connections get": _process(["-m", "airflow", "connections", "get", database.hook.pgmq_conn_id]),
    }
    for name, way in ways.items():
        stage.progress(f"warming up: {name}")
        way()
    seconds = take_turns(min(stage.rounds, ROUNDS), ways, stage.progress)
    more = ratio(seconds["queues"], seconds["version"])
    yield Figure(
        f"`airflow pgmq queues` with {QUEUES} queues and a connection of the environment, against"
        " `airflow version`; processes from start to end",
        f"at most {AT_MOST} times its time",
        f"{more:.2f} times: {milliseconds(seconds['queues'])} against {milliseconds(seconds['version'])}",
        more / AT_MOST,
    )
    # It looks up the same connection, and does nothing with it; Airflow's own loads all models for that, as
    # our command does where the connection is in the metadata database.
    yield Figure(
        "the same, against Airflow's own `airflow connections get`",
        "for comparison",
        f"{ratio(seconds['queues'], seconds['connections get']):.2f} times:"
        f" {milliseconds(seconds['connections get'])}",
        None,
    )
    yield Bars(
        "commands",
        "A command, from start to end",
        "milliseconds",
        {
            "airflow version": 1000 * median(seconds["version"]),
            "airflow connections get": 1000 * median(seconds["connections get"]),
            "airflow pgmq queues": 1000 * median(seconds["queues"]),
        },
        ours=["airflow pgmq queues"],
        limits={"airflow pgmq queues": AT_MOST * 1000 * median(seconds["version"])},
    )


def _process(arguments: list[str]) -> Way:
    def work() -> float:
        with Stopwatch() as watch:
            subprocess.run([sys.executable, *arguments], check=True, capture_output=True)
        return watch.seconds

    return work
