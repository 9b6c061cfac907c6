"""10,000 new keys, compared with one send each, and with sends without any dedup."""

from __future__ import annotations

from collections.abc import Iterator
from statistics import median

from benchmarks import ways
from benchmarks.findings import Bars, Figure, Finding
from benchmarks.measure import milliseconds, ratio, take_turns
from benchmarks.stage import Stage

AT_LEAST = 25
AT_MOST = 1.0


def run(stage: Stage) -> Iterator[Finding]:
    """Compare the ways."""
    database = stage.database("new_keys")
    compared = {
        "ours": ways.ours(database),
        "pgmq.send": ways.article(database),
        "COPY": ways.copied(database),
        "send_batch at once": ways.plain(database),
        "send_batch in chunks": ways.plain(database, chunk=ways.CHUNK),
        "send_batch of lists": ways.plain(database, binary=False),
        "send_batch without headers": ways.plain(database, headers=False),
    }
    for name, way in compared.items():
        stage.progress(f"warming up: {name}")
        way()
    times = take_turns(stage.rounds, compared, stage.progress)
    ours = times["ours"]
    faster = ratio(times["pgmq.send"], ours)
    yield Figure(
        "10,000 new keys, scope `once`, batch API, against one `pgmq.send` each with the violation caught",
        f"at least {AT_LEAST} times as fast",
        f"{faster:.0f} times: {milliseconds(ours)} against {milliseconds(times['pgmq.send'])}",
        AT_LEAST / faster,
    )
    fastest = min((times["send_batch at once"], times["send_batch in chunks"]), key=median)
    slower = ratio(ours, fastest)
    yield Figure(
        "the same, against `pgmq.send_batch` of the same messages and headers, no dedup, binary arrays",
        f"at most {AT_MOST} times its time",
        f"{slower:.2f} times: {milliseconds(ours)} against {milliseconds(fastest)}",
        slower / AT_MOST,
    )
    for name, what in (
        ("send_batch of lists", "the same, in lists as psycopg sends them by itself"),
        (
            "send_batch without headers",
            "the same, in binary arrays and without headers, so that less is stored",
        ),
        ("COPY", "the same, against COPY into the queue's table, with headers and without dedup"),
    ):
        yield Figure(
            what,
            "for comparison",
            f"{ratio(ours, times[name]):.2f} times: {milliseconds(ours)} against {milliseconds(times[name])}",
            None,
        )
    yield Bars(
        "new_keys",
        "10,000 messages, in the time of",
        "milliseconds",
        {
            "COPY, no dedup": 1000 * median(times["COPY"]),
            "pgmq.send_batch in binary arrays, no dedup": 1000 * median(fastest),
            "pgmq.send_batch as psycopg sends lists, no dedup": 1000 * median(times["send_batch of lists"]),
            "hook.send_batch, each key once": 1000 * median(ours),
        },
        ours=["hook.send_batch, each key once"],
    )
