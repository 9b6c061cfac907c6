"""What the imports of our operators cost a Dag file, in new processes."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from statistics import median

from benchmarks.findings import Figure, as_used
from benchmarks.measure import milliseconds
from benchmarks.stage import Stage

PROCESSES = 15
SECONDS = 0.06

PROBE = """
import sys, time
import airflow.sdk
started = time.perf_counter()
import airflow_pgmq.operators, airflow_pgmq.jobs
print(time.perf_counter() - started, "psycopg" in sys.modules)
"""


def run(stage: Stage) -> Iterator[Figure]:
    """Import in one process after the other; the first one compiles the modules and is not counted."""
    times: list[float] = []
    driver = False
    for number in range(PROCESSES + 1):
        stage.progress(f"process {number} of {PROCESSES}")
        done = subprocess.run([sys.executable, "-c", PROBE], stdout=subprocess.PIPE, text=True, check=True)
        seconds, loaded = done.stdout.split()[-2:]
        if number:
            times.append(float(seconds))
            driver |= loaded == "True"
    yield Figure(
        "importing `airflow_pgmq.operators` and `.jobs` after `airflow.sdk`",
        f"under {SECONDS * 1000:.0f} ms, without the driver",
        f"{milliseconds(times)}, {'with' if driver else 'without'} the driver",
        max(median(times) / SECONDS, as_used(not driver)),
    )
