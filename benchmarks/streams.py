"""What `send_batch` of an iterator takes: memory and time, with a key for each message."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator

from benchmarks.findings import Figure
from benchmarks.measure import Stopwatch, peak_memory
from benchmarks.stage import Stage

MEGABYTES = 150
AIM = 60


def run(stage: Stage) -> Iterator[Figure]:
    """Once: memory does not vary."""
    database = stage.database("streams")
    count = stage.queued
    queue_name = database.new_queue()
    stage.progress(f"{count:,} messages")
    command = [sys.executable, "-m", "benchmarks.streams", database.hook.pgmq_conn_id, queue_name, str(count)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    measured = json.loads(done.stdout.splitlines()[-1])
    assert measured["sent"] == count
    megabytes = measured["memory"] / 1e6
    yield Figure(
        f"{count:,} messages with keys through `send_batch` of a generator, memory above that of its process",
        f"under {MEGABYTES} MB; aim: under {AIM} MB",
        f"{megabytes:.0f} MB, {measured['seconds']:.0f} s",
        megabytes / MEGABYTES,
    )


def main(connection_id: str, queue_name: str, count: int) -> None:
    """Send from a process that has done nothing else."""
    from airflow_pgmq.hooks import PgmqHook

    hook = PgmqHook(connection_id)
    hook.send(queue_name, {"order": -1})
    before = peak_memory()
    messages = ({"order": number, "customer": f"customer {number % 1000}"} for number in range(count))
    with Stopwatch() as watch:
        counts = hook.send_batch(queue_name, messages, dedup_keys=lambda each: f"order/{each['order']}")
    measured = {"memory": peak_memory() - before, "seconds": watch.seconds, **counts}
    sys.stdout.write(f"{json.dumps(measured)}\n")


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]))
