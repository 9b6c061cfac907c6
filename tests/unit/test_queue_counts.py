from datetime import datetime, timedelta, timezone

import pytest

from airflow_pgmq.core import queue_counts
from airflow_pgmq.core.queue_counts import BUDGET, FEW, Counts, Shape, Table

CREATED = datetime(2026, 1, 1, tzinfo=timezone.utc)
NOW = CREATED + timedelta(days=1)


def shape(**fields):
    defaults = {"name": "q_mail", "kind": "r", "lacks": (), "readable": True, "hidden": False}
    return Shape(**{**defaults, **fields})


def table(name="mail", **fields):
    defaults = {
        "is_partitioned": False,
        "is_unlogged": False,
        "created_at": CREATED,
        "own": shape(),
        "archive": shape(name="a_mail"),
        "bytes": 8192,
        "live": 10,
        "planned": 0,
        "dead": 0,
        "inserted": 10,
        "deleted": 0,
        "archived": 0,
        "archive_bytes": 0,
        "broken_guard": False,
    }
    return Table(name, **{**defaults, **fields})


def ago(seconds):
    return None if seconds is None else NOW - timedelta(seconds=seconds)


def row(counted=0, visible=0, in_flight=0, oldest_age=None, waiting=None):
    return {
        "counted": counted,
        "visible": visible,
        "in_flight": in_flight,
        "oldest": ago(oldest_age),
        "first_vt": ago(waiting),
    }


def counts_of(how, *args, **fields):
    return queue_counts.counts(table(**fields), how, row(*args), NOW)


def test_small_tables_are_counted_whole():
    assert queue_counts.choose([table("a"), table("b")]) == {"a": "all", "b": "all"}


def test_one_huge_table_does_not_cost_the_others_their_exactness():
    tables = [table("huge", bytes=100 * BUDGET, live=10**6), *(table(f"q{n}") for n in range(199))]
    chosen = queue_counts.choose(tables)

    assert chosen.pop("huge") == "sample"
    assert set(chosen.values()) == {"all"}


def test_the_budget_is_for_all_tables_together():
    chosen = queue_counts.choose([table(f"q{n}", bytes=BUDGET // 3 + n, live=10**5) for n in range(4)])

    assert chosen == {"q0": "all", "q1": "all", "q2": "sample", "q3": "sample"}


@pytest.mark.parametrize(
    ("fields", "how"),
    [
        ({"live": FEW}, "index"),
        ({"live": FEW, "dead": 1}, "sample"),
        ({"live": 0, "dead": 10**6}, "sample"),
        # After a crash.
        ({"live": 5, "planned": 10**6}, "sample"),
        ({"live": 0, "is_partitioned": True}, "sample"),
    ],
)
def test_a_large_table_with_few_rows(fields, how):
    assert queue_counts.choose([table(bytes=BUDGET + 1, **fields)]) == {"mail": how}


def test_what_may_not_be_read_is_unknown_and_costs_nothing():
    chosen = queue_counts.choose(
        [table("secret", bytes=BUDGET - 1, own=shape(readable=False)), table("z", bytes=BUDGET)]
    )

    assert chosen == {"secret": "unknown", "z": "all"}
    assert queue_counts.counts(table(), "unknown", None, NOW) == Counts()
    assert Counts().delayed is None


def test_exact_counts_are_what_was_counted():
    counts = counts_of("all", 10, 4, 3, 60.5, 7.0, live=99)

    assert counts == Counts(10, 4, 3, 60.5, 7.0)
    assert counts.delayed == 3


def test_what_becomes_visible_later_does_not_wait():
    assert counts_of("all", 1, 0, 0, 5.0, -60.0).waiting is None


def test_a_clock_that_was_set_back_gives_no_negative_age():
    assert counts_of("all", 1, 0, 0, -5.0).oldest_age == 0


def test_a_sample_gives_the_shares_of_the_known_length():
    counts = counts_of("sample", 100, 50, 20, 60.5, 7.0, live=1000)

    assert (counts.length, counts.visible, counts.in_flight, counts.delayed) == (1000, 500, 200, 300)
    assert counts.estimated


def test_after_a_crash_the_planner_knows_better():
    assert table(live=5, planned=1000).rows == 1000
    assert table(live=5, dead=900, planned=1000).rows == 5
    assert table(live=2000, planned=1000).rows == 2000


def test_an_index_that_holds_more_than_is_read_is_an_estimate():
    counts = counts_of("index", queue_counts.MOST, queue_counts.MOST // 2, 0, live=5, planned=0)
    more = counts_of("index", queue_counts.MOST, queue_counts.MOST // 2, 0, live=5, planned=10**6)

    assert (counts.length, counts.visible, counts.estimated) == (
        queue_counts.MOST,
        queue_counts.MOST // 2,
        True,
    )
    assert (more.length, more.visible, more.estimated) == (10**6, 10**6 // 2, True)


def test_shares_never_exceed_the_whole():
    counts = counts_of("sample", 2, 1, 1, live=3)

    assert counts.visible + counts.in_flight <= counts.length


def test_a_sample_without_rows_says_nothing_of_shares():
    counts = queue_counts.counts(table(live=5), "sample", row(oldest_age=3.0), NOW)

    assert (counts.length, counts.visible, counts.delayed, counts.oldest_age) == (5, None, None, 3.0)


def test_a_table_without_pages_is_empty_for_sure():
    chosen = queue_counts.choose([table("a", bytes=0), table("b", bytes=0, is_partitioned=True)])

    assert chosen == {"a": "empty", "b": "all"}
    assert queue_counts.counts(table(bytes=0, live=7), "empty", None, NOW) == Counts(0, 0, 0)


def test_percent_is_of_the_table_and_never_more_than_all():
    assert queue_counts.percent(table(bytes=queue_counts.SAMPLED * 50)) == 2
    assert queue_counts.percent(table(bytes=1)) == 100
    assert queue_counts.percent(table(bytes=0)) == 100
