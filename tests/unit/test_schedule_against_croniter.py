"""Where no clock changes, a schedule is what croniter makes of the whole expression."""

from __future__ import annotations

from datetime import datetime, timedelta
from itertools import islice

import pytest
from croniter import CroniterBadCronError, CroniterBadDateError, croniter
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from airflow_pgmq.core import schedule
from airflow_pgmq.core.schedule import Schedule
from tests.unit.support import utc


def field(low: int, high: int, *words: str) -> st.SearchStrategy[str]:
    """The forms that a field can have, those that are wrong among them."""
    number = st.integers(low, high)
    return st.one_of(
        st.just("*"),
        number.map(str),
        st.integers(1, high).map("*/{}".format),
        st.tuples(number, number).map(lambda ends: f"{ends[0]}-{ends[1]}"),
        st.tuples(number, st.integers(1, 9)).map(lambda each: f"{each[0]}/{each[1]}"),
        st.lists(number, min_size=2, max_size=4).map(lambda each: ",".join(map(str, each))),
        st.sampled_from(["h", "H/5", f"H({low}-{high})", str(high + 1), *words]),
    )


CRONS = st.builds(
    lambda fields, second: " ".join([*fields, *second]),
    st.tuples(
        field(0, 59),
        field(0, 23),
        field(1, 31, "l", "L", "?"),
        field(1, 12, "feb", "NOV-feb", "DEC/3"),
        field(0, 6, "thu,FRI", "sat-sun", "fri#2", "l5", "7", "?"),
    ),
    st.lists(field(0, 59), max_size=1),
)


@settings(max_examples=300, deadline=None)
@given(
    cron=CRONS,
    after=st.datetimes(datetime(2026, 1, 1), datetime(2029, 12, 31)),
    name=st.sampled_from(["report", "invoices"]),
)
def test_slots_are_what_croniter_finds(cron, after, name):
    try:
        found = croniter(cron, after, ret_type=datetime, hash_id=name)
        expected = [found.get_next() for _ in range(5)]
    except CroniterBadCronError:
        assert "not valid" in schedule.problem(cron, name)
        return
    except CroniterBadDateError:
        assume(False)

    assert schedule.problem(cron, name) is None
    start = utc("1970-01-01 00:00") + (after - datetime(1970, 1, 1))
    slots = islice(Schedule(cron, "UTC", name).after(start), 5)
    assert [slot.replace(tzinfo=None) for slot in slots] == expected


@pytest.mark.parametrize("cron", ["* * * * * *", "0-59 * * * *", "0 0 * * *", "*/7 */5 */3 * *"])
def test_slots_go_on_from_any_slot(cron):
    start = utc("2026-02-27 23:58")
    slots = list(islice(Schedule(cron, "UTC").after(start), 200))

    assert [next(Schedule(cron, "UTC").after(slot)) for slot in slots[:-1]] == slots[1:]
    assert next(Schedule(cron, "UTC").after(slots[0] - timedelta(microseconds=1))) == slots[0]
