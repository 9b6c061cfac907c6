"""How costs grow: with senders, jobs, queues and archives; one figure for each curve."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count
from statistics import median

from benchmarks import page, senders, ticks, ways
from benchmarks.consuming import BATCH
from benchmarks.crew import Crew
from benchmarks.findings import Curves, Figure, Finding
from benchmarks.measure import Stopwatch, Way, milliseconds, ratio, take_turns
from benchmarks.stage import Database, Stage

PROCESSES = (1, 2, 4, 8)
SENT_BY_EACH = 300

JOBS = (10_000, 30_000, 100_000)
IDLE_SECONDS = 0.25

QUEUES = (10, 100, 1_000)

ARCHIVED = (0, 1_000_000, 10_000_000)
#: Ids below those that the queue gives, as those of older messages are.
FILL_ARCHIVE = """
INSERT INTO pgmq.a_{queue_name} (msg_id, read_ct, enqueued_at, vt, message)
SELECT n - 1 - {rows}, 1, now(), now(),
       jsonb_build_object('report', 'daily_report', 'customer', n, 'date', '2026-01-01')
FROM generate_series(1, {rows}) AS n
"""

_batches = count(1)


def run(stage: Stage) -> Iterator[Finding]:
    """One curve after the other."""
    yield from _processes(stage)
    yield from _jobs(stage)
    yield from _queues(stage)
    yield from _archives(stage)


def _processes(stage: Stage) -> Iterator[Finding]:
    """Ours and bare with each number of processes; one crew serves all of them."""
    database = stage.database("growth_senders")
    jobs = {"ours": senders.with_key, "bare": senders.bare}
    stage.progress(f"{max(PROCESSES)} processes start")
    with Crew(max(PROCESSES)) as crew:
        compared = {
            f"{name}, {workers}": senders.sending_way(crew, database, job, workers, SENT_BY_EACH)
            for workers in PROCESSES
            for name, job in jobs.items()
        }
        for name in jobs:
            # Each process imports what the job needs.
            stage.progress(f"warming up: {name}")
            compared[f"{name}, {max(PROCESSES)}"]()
        seconds = take_turns(stage.rounds, compared, stage.progress)
    points = []
    for workers in PROCESSES:
        mine, theirs = seconds[f"ours, {workers}"], seconds[f"bare, {workers}"]
        rates = [f"{workers * SENT_BY_EACH / median(times):,.0f}" for times in (mine, theirs)]
        points.append(f"{workers}: {ratio(mine, theirs):.2f} times the time, {' against '.join(rates)}")
    yield Figure(
        f"`hook.send` with new keys, {', '.join(map(str, PROCESSES))} processes with one queue, against"
        " `pgmq.send`; messages/s",
        "for comparison",
        "; ".join(points),
        None,
    )
    yield Curves(
        "growth_senders",
        "Messages sent with new keys, one by one",
        "processes",
        "messages a second",
        PROCESSES,
        {
            label: [workers * SENT_BY_EACH / median(seconds[f"{name}, {workers}"]) for workers in PROCESSES]
            for name, label in (("ours", "hook.send"), ("bare", "pgmq.send"))
        },
        ours=["hook.send"],
    )


def _jobs(stage: Stage) -> Iterator[Finding]:
    """A tick with nothing due, after one that has sent the slots of a day."""
    database = stage.database("growth_jobs")
    rounds = min(stage.rounds, 5)
    idle: dict[int, list[float]] = {}
    for jobs in JOBS:
        stage.progress(f"{jobs:,} jobs are deployed")
        namespace, queue_name = f"jobs-{jobs}", database.new_queue(alone=True)
        ticks.tick(database, namespace, queue_name, ticks.DAY, jobs=jobs)
        for number in range(rounds):
            stage.progress(f"{jobs:,} jobs, round {number + 1} of {rounds}")
            tick = ticks.tick(database, namespace, queue_name, ticks.TEN_MINUTES, jobs=jobs)
            assert tick["summary"]["slots"] == 0
            idle.setdefault(jobs, []).append(tick["tick"])
    most = max(JOBS)
    yield Figure(
        f"one tick with nothing due, {', '.join(f'{jobs:,}' for jobs in JOBS)} jobs in one namespace",
        f"under {IDLE_SECONDS * 1000:.0f} ms for {most:,}",
        ", ".join(milliseconds(times) for times in idle.values()),
        median(idle[most]) / IDLE_SECONDS,
    )
    yield Curves(
        "growth_jobs",
        "A tick with nothing due",
        "jobs in one namespace",
        "milliseconds",
        JOBS,
        {"a tick": [1000 * median(times) for times in idle.values()]},
        ours=["a tick"],
    )


def _queues(stage: Stage) -> Iterator[Finding]:
    """The database's time for a refresh on a kept connection."""
    took = []
    for queues in QUEUES:
        database = stage.database(f"growth_page_{queues}")
        page.fill(stage, database, queues, page.EACH)
        with database.connect() as kept:
            refreshes = [page.refresh(stage, database, queues, kept)[0] for _ in range(stage.rounds + 1)]
        took.append(median(refreshes[1:]))
    yield Figure(
        f"a refresh of the page, {', '.join(f'{queues:,}' for queues in QUEUES)} queues with {page.EACH}"
        " messages each, a day of samples; the database's time",
        "for comparison",
        ", ".join(f"{each:,.0f} ms" for each in took),
        None,
    )
    yield Curves(
        "growth_queues",
        "A refresh of the page, the database's time",
        "queues",
        "milliseconds",
        QUEUES,
        {"a refresh": took},
        ours=["a refresh"],
    )


def _archives(stage: Stage) -> Iterator[Finding]:
    """Send and consume the same number of messages beside archives of different sizes."""
    # The largest one takes a minute and 2 GB.
    sizes = ARCHIVED if stage.rounds >= 9 else ARCHIVED[:-1]
    sending: dict[str, Way] = {}
    draining: dict[str, Way] = {}
    for rows in sizes:
        database = stage.database(f"growth_archive_{rows}")
        queue_name = database.new_queue()
        stage.progress(f"an archive of {rows:,} messages")
        with database.connect() as connection:
            connection.execute(FILL_ARCHIVE.format(queue_name=queue_name, rows=rows))
            connection.execute("VACUUM ANALYZE")
            connection.execute("CHECKPOINT")
        sending[f"{rows:,}"] = _send(database, queue_name)
        draining[f"{rows:,}"] = _drain(database, queue_name)
    # The messages of one round are consumed before those of the next one are sent.
    compared = {
        f"{verb} {size}": way
        for size in sending
        for verb, way in (("send", sending[size]), ("consume", draining[size]))
    }
    for way in compared.values():
        way()
    # Not in reverse, because what is consumed must have been sent.
    seconds: dict[str, list[float]] = {name: [] for name in compared}
    for _ in range(stage.rounds):
        for name, times in take_turns(1, compared, stage.progress).items():
            seconds[name] += times
    for verb, what in (("send", "sending, in one batch with keys,"), ("consume", "consuming, in lists,")):
        yield Figure(
            f"{what} 10,000 messages beside an archive of {', '.join(sending)}",
            "for comparison",
            "; ".join(
                f"{milliseconds(times)}, {ratio(times, seconds[f'{verb} 0']):.2f} times"
                for times in (seconds[f"{verb} {size}"] for size in sending)
            ),
            None,
        )
    yield Curves(
        "growth_archives",
        "10,000 messages beside an archive",
        "archived messages",
        "milliseconds",
        sizes,
        {
            what: [1000 * median(seconds[f"{verb} {rows:,}"]) for rows in sizes]
            for verb, what in (("send", "sent with keys"), ("consume", "consumed in lists"))
        },
        ours=["sent with keys", "consumed in lists"],
    )


def _send(database: Database, queue_name: str) -> Way:
    def work() -> float:
        batch = next(_batches)
        keys = [f"daily_report/2026-01-02/{batch:06}-{number:06}" for number in range(ways.COUNT)]
        with Stopwatch() as watch:
            database.hook.send_batch(queue_name, ways.MESSAGES, dedup_keys=keys)
        return watch.seconds

    return work


def _drain(database: Database, queue_name: str) -> Way:
    from airflow_pgmq.core.consumer_policy import Policy
    from airflow_pgmq.services.consuming import Consumer

    def work() -> float:
        policy = Policy(queue_name=queue_name, batch_size=BATCH)
        with Stopwatch() as watch:
            summary = Consumer(database.hook.client, policy, together=True).drain(lambda messages, conn: None)
        assert summary.acked == ways.COUNT
        return watch.seconds

    return work
