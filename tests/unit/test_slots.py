"""Which slots a tick enqueues: look-ahead, catch-up, overlap, bounds, jitter."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta, timezone
from itertools import pairwise, takewhile
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from airflow_pgmq.core import slots
from airflow_pgmq.core.jobs import PeriodicJob
from airflow_pgmq.core.schedule.cron_slots import CronSlots
from airflow_pgmq.core.slots import Window
from tests.unit.support import python, utc

MICROSECOND = timedelta(microseconds=1)
NOW = utc("2026-06-01 12:00")

EVERY_MINUTE = PeriodicJob(name="every-minute", cron="* * * * *", queue_name="mail")
HALF_PAST = PeriodicJob(name="half-past", cron="30 * * * *", queue_name="mail")


def minutes(count: float) -> timedelta:
    return timedelta(minutes=count)


def window(now: datetime = NOW, *, ahead: float = 0, grace: float = 5) -> Window:
    """A tick's window; spans in minutes."""
    return Window(now, now + minutes(ahead), minutes(grace))


def due(job: PeriodicJob, watermark: str, at: Window, next_slot: str | None = None) -> slots.Due:
    return slots.due(job, utc(watermark), utc(next_slot) if next_slot else None, at)


def clock(found: slots.Due) -> list[str]:
    """Slots as hours and minutes."""
    return [f"{slot:%H:%M}" for slot in found.slots]


def each_minute(first: str, last: str) -> list[str]:
    start, end = utc(f"2026-06-01 {first}"), utc(f"2026-06-01 {last}")
    return [f"{start + minutes(number):%H:%M}" for number in range((end - start) // minutes(1) + 1)]


# Look-ahead.


def test_slots_up_to_the_horizon_are_enqueued_ahead_of_time():
    found = due(EVERY_MINUTE, "2026-06-01 12:00", window(ahead=10))
    assert clock(found) == each_minute("12:01", "12:10")
    assert found.watermark == utc("2026-06-01 12:10")
    assert found.next_slot == utc("2026-06-01 12:11")
    assert found.dropped == 0


def test_the_next_tick_adds_only_what_is_new():
    found = due(EVERY_MINUTE, "2026-06-01 12:10", window(NOW + minutes(1), ahead=10), "2026-06-01 12:11")
    assert clock(found) == ["12:11"]


def test_without_look_ahead_a_slot_is_due_at_its_instant():
    assert clock(due(EVERY_MINUTE, "2026-06-01 11:59", window())) == ["12:00"]
    assert clock(due(EVERY_MINUTE, "2026-06-01 11:59", window(NOW - MICROSECOND))) == []


def test_nothing_due_leaves_the_next_slot():
    found = due(HALF_PAST, "2026-06-01 11:45", window(ahead=10))
    assert found.slots == []
    assert found.watermark == utc("2026-06-01 12:10")
    assert found.next_slot == utc("2026-06-01 12:30")


def test_a_watermark_never_goes_back():
    """A smaller look-ahead, or a database clock that was set back."""
    found = due(EVERY_MINUTE, "2026-06-01 12:10", window(NOW - minutes(30), ahead=5), "2026-06-01 12:11")
    assert found.slots == []
    assert found.watermark == utc("2026-06-01 12:10")
    assert found.next_slot == utc("2026-06-01 12:11")


def test_the_stored_next_slot_saves_the_way_to_it_but_changes_nothing():
    without = due(HALF_PAST, "2026-06-01 09:00", window(ahead=60))
    assert clock(without) == ["09:30", "10:30", "11:30", "12:30"]
    assert due(HALF_PAST, "2026-06-01 09:00", window(ahead=60), "2026-06-01 09:30") == without


def test_slots_of_seconds():
    job = PeriodicJob(name="seconds", cron="* * * * * */20", queue_name="mail")
    found = due(job, "2026-06-01 12:00", window(ahead=1))
    assert found.slots == [NOW + timedelta(seconds=seconds) for seconds in (20, 40, 60)]


# Missed slots.


def test_catch_up_all_sends_every_missed_slot():
    found = due(EVERY_MINUTE, "2026-06-01 11:00", window(ahead=2))
    assert clock(found) == each_minute("11:01", "12:02")
    assert found.dropped == 0


def test_catch_up_all_looks_back_no_further_than_its_age():
    job = replace(EVERY_MINUTE, catch_up_max_age=minutes(30))
    assert clock(due(job, "2026-06-01 11:00", window())) == each_minute("11:31", "12:00")


def test_catch_up_all_sends_the_newest_of_too_many_and_counts_the_others():
    job = replace(EVERY_MINUTE, catch_up_limit=10)
    found = due(job, "2026-06-01 11:00", window(ahead=2))
    assert clock(found) == each_minute("11:51", "12:02")
    assert found.dropped == 50


def test_a_tick_does_not_go_through_all_that_a_long_outage_missed(monkeypatch):
    """It holds a lock meanwhile, and the limit would end its transaction each time."""
    steps = 0

    def counted(walk):
        def walked(self, instant):
            nonlocal steps
            for slot in walk(self, instant):
                steps += 1
                yield slot

        return walked

    for name in ("after", "before"):
        monkeypatch.setattr(CronSlots, name, counted(getattr(CronSlots, name)))
    job = PeriodicJob(
        name="a",
        cron="* * * * * *",
        queue_name="mail",
        catch_up_max_age=timedelta(days=90),
        catch_up_limit=100,
    )
    found = slots.due(job, NOW - timedelta(days=90), None, window(grace=1))

    assert found.slots[-1] == NOW
    assert len(found.slots) == 100
    assert found.dropped == slots.COUNTED
    assert steps < 100 + slots.COUNTED + 10


def test_catch_up_none_sends_no_missed_slot():
    job = replace(HALF_PAST, catch_up="none")
    found = due(job, "2026-06-01 08:00", window(ahead=60))
    assert clock(found) == ["12:30"]
    assert found.next_slot == utc("2026-06-01 13:30")


def test_catch_up_last_sends_the_newest_missed_slot():
    job = replace(HALF_PAST, catch_up="last")
    assert clock(due(job, "2026-06-01 08:00", window(ahead=60))) == ["11:30", "12:30"]


def test_catch_up_last_sends_nothing_where_nothing_was_missed():
    job = replace(HALF_PAST, catch_up="last")
    assert clock(due(job, "2026-06-01 11:30", window(ahead=60))) == ["12:30"]


def test_catch_up_last_looks_back_no_further_than_its_age():
    job = replace(HALF_PAST, catch_up="last", catch_up_max_age=minutes(20))
    assert clock(due(job, "2026-06-01 08:00", window())) == []


def test_catch_up_last_needs_no_missed_slot_where_a_newer_one_is_just_late():
    job = PeriodicJob(name="fifteen", cron="58 * * * *", queue_name="mail", catch_up="last")
    assert clock(due(job, "2026-06-01 08:00", window())) == ["11:58"]


@pytest.mark.parametrize("catch_up", ["all", "last", "none"])
def test_a_slot_within_the_grace_is_late_and_not_missed(catch_up):
    job = replace(EVERY_MINUTE, catch_up=catch_up)
    assert clock(due(job, "2026-06-01 11:56", window(ahead=1))) == each_minute("11:57", "12:01")


@pytest.mark.parametrize(("catch_up", "expected"), [("none", []), ("last", ["11:55"]), ("all", ["11:55"])])
def test_a_slot_as_old_as_the_grace_is_missed(catch_up, expected):
    job = PeriodicJob(name="five-to", cron="55 * * * *", queue_name="mail", catch_up=catch_up)
    assert clock(due(job, "2026-06-01 11:30", window())) == expected


def test_grace_outlives_a_shorter_age():
    job = replace(EVERY_MINUTE, catch_up_max_age=minutes(1))
    assert clock(due(job, "2026-06-01 11:00", window())) == each_minute("11:56", "12:00")


def test_the_limit_never_touches_slots_within_the_grace_or_ahead():
    job = replace(EVERY_MINUTE, catch_up_limit=1)
    found = due(job, "2026-06-01 11:50", window(ahead=3))
    assert clock(found) == each_minute("11:56", "12:03")
    assert found.dropped == 5


def test_a_watermark_within_the_policy_is_where_catching_up_starts():
    assert clock(due(EVERY_MINUTE, "2026-06-01 11:58", window())) == ["11:59", "12:00"]


# Overlap.


def test_overlap_skip_takes_the_newest_due_slot_only_and_none_ahead():
    job = replace(EVERY_MINUTE, overlap="skip")
    found = due(job, "2026-06-01 11:50", window(ahead=10))
    assert clock(found) == ["12:00"]
    assert found.dropped == 9
    assert found.watermark == NOW
    assert found.next_slot == utc("2026-06-01 12:01")


def test_overlap_skip_without_a_due_slot_takes_none():
    job = replace(HALF_PAST, overlap="skip")
    found = due(job, "2026-06-01 11:30", window(ahead=60))
    assert found.slots == []
    assert found.dropped == 0
    assert found.next_slot == utc("2026-06-01 12:30")


@pytest.mark.parametrize(("catch_up", "expected"), [("all", ["11:30"]), ("last", ["11:30"]), ("none", [])])
def test_overlap_skip_catches_up_by_the_policy(catch_up, expected):
    job = replace(HALF_PAST, overlap="skip", catch_up=catch_up)
    assert clock(due(job, "2026-06-01 08:00", window(ahead=60))) == expected


# Bounds.


@pytest.mark.parametrize(
    "start",
    [
        datetime(2026, 6, 1, 14, 2),
        datetime(2026, 6, 1, 14, 2, tzinfo=ZoneInfo("Europe/Berlin")),
        utc("2026-06-01 12:02"),
        datetime(2026, 6, 1, 8, 2, tzinfo=timezone(timedelta(hours=-4))),
    ],
    ids=["naive in the job's zone", "aware", "UTC", "another zone"],
)
def test_start_is_included_and_end_is_not(start):
    job = replace(EVERY_MINUTE, timezone="Europe/Berlin", start=start, end=start + minutes(3))
    found = due(job, "2026-06-01 11:00", window(ahead=10))
    assert clock(found) == ["12:02", "12:03", "12:04"]
    assert found.next_slot is None


def test_a_job_that_starts_later_waits_for_its_first_slot():
    job = replace(HALF_PAST, start=datetime(2026, 9, 1))
    found = due(job, "2026-06-01 11:00", window(ahead=10))
    assert found.slots == []
    assert found.next_slot == utc("2026-09-01 00:30")


def test_a_job_that_ended_has_no_next_slot():
    job = replace(HALF_PAST, end=datetime(2026, 5, 1))
    found = due(job, "2026-06-01 11:00", window(ahead=60))
    assert (found.slots, found.next_slot) == ([], None)


def test_a_start_in_the_past_changes_nothing():
    job = replace(HALF_PAST, start=datetime(2020, 1, 1))
    assert due(job, "2026-06-01 11:00", window(ahead=60)) == due(
        HALF_PAST, "2026-06-01 11:00", window(ahead=60)
    )


def test_catch_up_last_is_the_last_slot_before_the_end():
    job = replace(HALF_PAST, catch_up="last", end=datetime(2026, 6, 1, 10))
    assert clock(due(job, "2026-06-01 08:00", window())) == ["09:30"]


def test_catch_up_last_does_not_reach_behind_the_start():
    job = replace(HALF_PAST, catch_up="last", start=datetime(2026, 6, 1, 11, 31))
    assert clock(due(job, "2026-06-01 08:00", window())) == []


@pytest.mark.parametrize(
    ("start", "first"),
    [
        (datetime(2026, 3, 29, 2, 0), "2026-03-29 01:00"),
        (datetime(2026, 3, 29, 2, 45), "2026-03-29 01:00"),
        (datetime(2026, 3, 29, 3, 0), "2026-03-29 01:00"),
        (datetime(2026, 3, 29, 3, 0, tzinfo=ZoneInfo("Europe/Berlin")), "2026-03-29 01:00"),
        (datetime(2026, 3, 29, 3, 1), "2026-03-29 01:15"),
        (datetime(2026, 10, 25, 2, 15), "2026-10-25 00:15"),
        (datetime(2026, 10, 25, 2, 15, fold=1, tzinfo=ZoneInfo("Europe/Berlin")), "2026-10-25 01:15"),
    ],
)
def test_a_start_where_clocks_change_leaves_no_slot_out(start, first):
    job = PeriodicJob(
        name="quarters", cron="*/15 * * * *", queue_name="mail", timezone="Europe/Berlin", start=start
    )
    before = utc(first) - timedelta(days=2)
    assert next(slots.between(job, before, utc(first) + timedelta(days=1))) == utc(first)


def test_a_fixed_time_in_the_gap_that_is_also_the_start_is_sent():
    job = PeriodicJob(
        name="gap",
        cron="30 2 * * *",
        queue_name="mail",
        timezone="Europe/Berlin",
        start=datetime(2026, 3, 29, 2, 30),
    )
    found = slots.between(job, utc("2026-03-28 12:00"), utc("2026-03-30 12:00"))
    assert list(found) == [utc("2026-03-29 01:00"), utc("2026-03-30 00:30")]


# A backfill run's interval.


def test_an_interval_includes_its_start_and_not_its_end():
    found = slots.between(EVERY_MINUTE, utc("2026-06-01 11:00"), utc("2026-06-01 11:03"))
    assert list(found) == [utc("2026-06-01 11:00"), utc("2026-06-01 11:01"), utc("2026-06-01 11:02")]


def test_intervals_side_by_side_have_each_slot_once():
    edges = [utc("2026-10-24 22:00") + minutes(20 * number) for number in range(20)]
    job = replace(HALF_PAST, timezone="Europe/Berlin")
    parts = [slot for a, b in pairwise(edges) for slot in slots.between(job, a, b)]
    assert parts == list(slots.between(job, edges[0], edges[-1]))
    assert len(parts) == 6


def test_an_interval_keeps_to_the_bounds_of_the_job():
    job = replace(EVERY_MINUTE, start=datetime(2026, 6, 1, 11, 1), end=datetime(2026, 6, 1, 11, 3))
    found = slots.between(job, utc("2026-06-01 10:00"), utc("2026-06-01 12:00"))
    assert list(found) == [utc("2026-06-01 11:01"), utc("2026-06-01 11:02")]


# Any ticks.

CRONS = [
    "* * * * *",
    "*/15 * * * *",
    "0 * * * *",
    "30 2 * * *",
    "*/20 1-3 * * *",
    "0 */2 * * *",
    "30 1 * * *",
    "0 1 * * * 30",
    "*/7 * * * * */30",
    "@daily",
]
ZONES = ["Europe/Berlin", "America/New_York", "Asia/Shanghai", "Australia/Lord_Howe", "UTC"]
STARTS = [
    "2026-03-29 00:00",
    "2026-10-24 23:30",
    "2026-03-08 06:00",
    "2026-11-01 04:30",
    "2026-04-04 14:00",
    "2026-10-03 15:00",
    "2026-06-01 00:00",
]

ticks = st.lists(
    st.tuples(st.timedeltas(min_value=timedelta(minutes=-2), max_value=minutes(50)), st.integers(0, 20)),
    min_size=1,
    max_size=15,
)


def run_ticks(job: PeriodicJob, start: datetime, steps: list[tuple[timedelta, int]]) -> list[datetime]:
    """Simulate the ticks of one job: (time since the previous tick, look-ahead in minutes)."""
    sent: list[datetime] = []
    now = watermark = start
    next_slot: datetime | None = start
    for step, ahead in steps:
        now += step
        at = window(now, ahead=ahead)
        if next_slot is None or next_slot > (at.now if job.overlap == "skip" else at.horizon):
            continue
        found = slots.due(job, watermark, next_slot, at)
        assert found.watermark >= watermark
        sent += found.slots
        watermark, next_slot = found.watermark, found.next_slot
    return sent


def reached(start: datetime, steps: list[tuple[timedelta, int]]) -> datetime:
    """The furthest horizon of all ticks."""
    now, furthest = start, start
    for step, ahead in steps:
        now += step
        furthest = max(furthest, now + minutes(ahead))
    return furthest


@settings(max_examples=150, deadline=None)
@given(cron=st.sampled_from(CRONS), zone=st.sampled_from(ZONES), start=st.sampled_from(STARTS), steps=ticks)
def test_any_sequence_of_ticks_has_each_slot_once_and_in_order(cron, zone, start, steps):
    job = PeriodicJob(name="any", cron=cron, queue_name="mail", timezone=zone, catch_up_limit=10**6)
    horizon = reached(utc(start), steps)
    expected = list(takewhile(lambda slot: slot <= horizon, job.slots.after(utc(start))))
    assert run_ticks(job, utc(start), steps) == expected


@settings(max_examples=100, deadline=None)
@given(
    cron=st.sampled_from(CRONS),
    zone=st.sampled_from(ZONES),
    start=st.sampled_from(STARTS),
    steps=ticks,
    catch_up=st.sampled_from(["all", "last", "none"]),
    overlap=st.sampled_from(["allow", "skip"]),
    limit=st.integers(1, 5),
)
def test_no_policy_sends_a_slot_twice_or_an_instant_that_is_none(
    cron, zone, start, steps, catch_up, overlap, limit
):
    job = PeriodicJob(
        name="any",
        cron=cron,
        queue_name="mail",
        timezone=zone,
        catch_up=catch_up,
        overlap=overlap,
        catch_up_limit=limit,
    )
    sent = run_ticks(job, utc(start), steps)
    horizon = reached(utc(start), steps)
    every = set(takewhile(lambda slot: slot <= horizon, job.slots.after(utc(start) - MICROSECOND)))
    assert sent == sorted(set(sent))
    assert set(sent) <= every


# Names of slots.


def test_a_slot_is_written_in_utc_so_that_text_sorts_as_time():
    assert slots.text(utc("2026-03-29 01:00")) == "2026-03-29T01:00:00Z"


def test_a_key_is_made_of_namespace_job_and_slot():
    assert slots.key("reports", "daily.sales", NOW) == "reports/daily.sales/2026-06-01T12:00:00Z"


def test_the_longest_key_is_within_the_limit_of_dedup_keys():
    assert len(slots.key("n" * 100, "j" * 100, NOW)) <= 255


# Jitter.

JITTERED = replace(EVERY_MINUTE, jitter=minutes(10))


def visible_at(job: PeriodicJob, slot: datetime) -> datetime:
    return slots.visible_at(job, slot, slots.key("reports", job.name, slot))


def test_without_jitter_a_message_is_visible_at_its_slot():
    assert visible_at(EVERY_MINUTE, NOW) == NOW


def test_jitter_spreads_over_its_whole_width_and_never_beyond():
    shares = [visible_at(JITTERED, NOW + minutes(number)) - NOW - minutes(number) for number in range(500)]
    assert all(timedelta(0) <= share <= minutes(10) for share in shares)
    assert len(set(shares)) == 500
    assert min(shares) < minutes(1)
    assert max(shares) > minutes(9)


def test_jobs_of_the_same_slot_are_spread():
    assert len({visible_at(replace(JITTERED, name=f"job{number}"), NOW) for number in range(50)}) == 50


def test_jitter_is_the_same_in_every_process():
    code = """
from datetime import datetime, timedelta, timezone
from airflow_pgmq.core import slots
from airflow_pgmq.core.jobs import PeriodicJob
job = PeriodicJob(name="every-minute", cron="* * * * *", queue_name="mail", jitter=timedelta(minutes=10))
slot = datetime(2026, 6, 1, 12, tzinfo=timezone.utc)
print(slots.visible_at(job, slot, slots.key("reports", job.name, slot)).isoformat())
"""
    here = visible_at(JITTERED, NOW).isoformat()
    assert python(code, PYTHONHASHSEED="1") == python(code, PYTHONHASHSEED="2") == here
