"""10,000 new keys, compared with one send each, and with sends without any dedup."""

from __future__ import annotations

from collections.abc import Iterator
from statistics import median

from benchmarks import ways
from benchmarks.measure import milliseconds, ratio, take_turns
from benchmarks.report import Figure
from benchmarks.stage import Stage

AT_LEAST = 25
AT_MOST = 1.5


def run(stage: Stage) -> Iterator[Figure]:
    """Compare the ways."""
    database = stage.database("new_keys")
    compared = {
        "ours": ways.ours(database),
        "pgmq.send": ways.article(database),
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
        faster >= AT_LEAST,
    )
    fastest = min((times["send_batch at once"], times["send_batch in chunks"]), key=median)
    slower = ratio(ours, fastest)
    yield Figure(
        "the same, against `pgmq.send_batch` of the same messages and headers, no dedup, binary arrays",
        f"at most {AT_MOST} times its time",
        f"{slower:.2f} times: {milliseconds(ours)} against {milliseconds(fastest)}",
        slower <= AT_MOST,
    )
    for name, what in (
        ("send_batch of lists", "the same, in lists as psycopg sends them by itself"),
        (
            "send_batch without headers",
            "the same, in binary arrays and without headers, so that less is stored",
        ),
    ):
        yield Figure(
            what,
            "for comparison",
            f"{ratio(ours, times[name]):.2f} times: {milliseconds(ours)} against {milliseconds(times[name])}",
            None,
        )
