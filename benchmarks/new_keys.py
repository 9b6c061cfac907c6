"""10,000 new keys: against one send each, and against sending without any dedup."""

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
    """Compare the three ways."""
    database = stage.database("new_keys")
    with database.connect() as connection:
        compared = {
            "ours": ways.ours(database),
            "one pgmq.send each": ways.article(database, connection),
            "pgmq.send_batch at once": ways.plain(database, connection),
            "pgmq.send_batch in chunks": ways.plain(database, connection, chunk=ways.CHUNK),
            "pgmq.send_batch without headers": ways.plain(database, connection, headers=False),
        }
        for name, way in compared.items():
            stage.progress(f"warming up: {name}")
            way()
        times = take_turns(stage.rounds, compared, stage.progress)
    ours, article = times["ours"], times["one pgmq.send each"]
    faster = ratio(article, ours)
    yield Figure(
        "10,000 new keys, scope `once`, batch API, against one `pgmq.send` each with the violation caught",
        f"at least {AT_LEAST} times as fast",
        f"{faster:.0f} times: {milliseconds(ours)} against {milliseconds(article)}",
        faster >= AT_LEAST,
    )
    chunk_ways = ("pgmq.send_batch at once", "pgmq.send_batch in chunks")
    fastest = min(chunk_ways, key=lambda name: median(times[name]))
    slower = ratio(ours, times[fastest])
    yield Figure(
        "the same, against `pgmq.send_batch` of the same messages and headers without dedup",
        f"at most {AT_MOST} times its time",
        f"{slower:.2f} times: {milliseconds(ours)} against {milliseconds(times[fastest])}",
        slower <= AT_MOST,
    )
    bare = times["pgmq.send_batch without headers"]
    yield Figure(
        "the same, against `pgmq.send_batch` without headers, so that less is stored",
        "for comparison",
        f"{ratio(ours, bare):.2f} times: {milliseconds(ours)} against {milliseconds(bare)}",
        None,
    )
