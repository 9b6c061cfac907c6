from dataclasses import replace
from datetime import datetime, timedelta, timezone

import pytest

from airflow_pgmq.core import slot_history, slots
from airflow_pgmq.core.jobs import PeriodicJob
from airflow_pgmq.core.slot_history import Progress, Sent

NOW = datetime(2026, 3, 10, 12, 0, 30, tzinfo=timezone.utc)
HOUR = timedelta(hours=1)
WEEK = timedelta(days=7)


def job(**fields):
    return PeriodicJob(**{"name": "job", "cron": "0 * * * *", "queue_name": "mail", **fields})


def sent(declared, *offsets, late=timedelta(0), window=WEEK):
    """Slots this many hours ago, as they are stored."""
    found = {}
    for hours in offsets:
        slot = NOW.replace(second=0) - hours * HOUR
        first_at = slot + late
        visible_at = slots.visible_at(declared, slot, slots.key("shop", declared.name, slot))
        found[slot] = Sent(first_at, visible_at, max(slot, first_at) + window)
    return found


def states(declared, known, *, watermark=NOW, deployed_at=NOW - 5 * HOUR, paused=False):
    stand = Progress(now=NOW, watermark=watermark, deployed_at=deployed_at, paused=paused)
    shown = slot_history.recent(declared, NOW)
    return [state for _, state in slot_history.states(declared, shown, stand, known)]


def test_oldest_first():
    stand = Progress(now=NOW, watermark=NOW, deployed_at=NOW - 3 * HOUR, paused=False)
    found = slot_history.states(job(), slot_history.recent(job(), NOW), stand, {})
    assert [slot.hour for slot, _ in found] == [10, 11, 12]


def test_sent_late_and_missed():
    known = sent(job(), 0, 2) | sent(job(), 1, late=timedelta(minutes=5))

    assert states(job(), known) == ["missed", "missed", "sent", "late", "sent"]


def test_a_job_without_look_ahead_may_take_until_the_next_tick():
    declared = job()

    assert states(declared, sent(declared, 0, late=timedelta(seconds=70)))[-1] == "sent"
    assert states(declared, sent(declared, 0, late=timedelta(seconds=130)))[-1] == "late"


def test_slots_that_overlap_left_out_are_not_missed():
    declared = job(overlap="skip")

    assert states(declared, sent(declared, 0, 3)) == ["sent", "sent"]
    assert states(declared, {}, watermark=NOW - 3 * HOUR) == ["missed", "missed", "waiting"]


def test_jitter_is_not_lateness():
    declared = job(jitter=timedelta(minutes=20))
    slot = NOW.replace(second=0) - HOUR
    visible_at = slots.visible_at(declared, slot, slots.key("shop", "job", slot))
    known = {slot: Sent(visible_at, visible_at, slot + WEEK)}

    assert states(declared, known)[-2] == "sent"


def test_a_slot_that_was_enqueued_again():
    known = sent(job(), 0, 1)
    newest = next(iter(known))
    known[newest] = replace(known[newest], repeats=1)
    assert states(job(), known)[-2:] == ["sent", "duplicate"]


@pytest.mark.parametrize(
    ("fields", "last"),
    [
        # The next tick may still send it.
        ({"watermark": NOW - HOUR}, "waiting"),
        # A policy left it out.
        ({"watermark": NOW}, "missed"),
        ({"watermark": NOW - 4 * HOUR, "paused": True}, "waiting"),
    ],
)
def test_the_last_slot_unsent(fields, last):
    assert states(job(), {}, **fields)[-1] == last


def test_a_job_that_is_behind_misses_what_is_overdue():
    assert states(job(), {}, watermark=NOW - 3 * HOUR)[-3:] == ["missed", "missed", "waiting"]


def test_before_the_deploy_only_what_was_sent_is_shown():
    assert states(job(), sent(job(), 3), deployed_at=NOW - HOUR / 2) == ["sent", "missed"]


def test_what_the_ledger_has_forgotten_is_not_missed():
    known = sent(job(), 0, 1, window=2 * HOUR)
    assert states(job(), known, deployed_at=NOW - 30 * HOUR) == ["sent", "sent"]


def test_nothing_known_is_missed_for_a_week_at_most():
    daily = job(cron="0 0 * * *")
    assert states(daily, {}, deployed_at=NOW - timedelta(days=100)) == ["missed"] * 7


@pytest.mark.parametrize("cron", ["* * * * * *", "* * * * *", "0 * * * *", "0 0 * * *"])
def test_thirty_slots_however_dense(cron):
    found = slot_history.recent(job(cron=cron), NOW)

    assert len(found) == slot_history.SHOWN
    assert found == sorted(found)
    assert found[-1] <= NOW
    (following, *_) = slots.upcoming(job(cron=cron), found[-1], 1)
    assert following > NOW


def test_no_further_back_than_a_month():
    assert slot_history.recent(job(cron="0 0 1 * *"), NOW) == [datetime(2026, 3, 1, tzinfo=timezone.utc)]
    assert slot_history.recent(job(cron="0 0 1 1 *"), NOW) == []


def test_start_and_end_bound_the_strip_and_what_is_upcoming():
    declared = job(start=NOW - 2 * HOUR, end=NOW + 2 * HOUR)

    assert len(slot_history.recent(declared, NOW)) == 2
    assert len(slots.upcoming(declared, NOW, 5)) == 2


def test_a_job_comes_back_from_its_definition():
    import json

    declared = job(
        headers={"a": 1},
        timezone="Europe/Berlin",
        version=2,
        ttl=HOUR,
        jitter=timedelta(seconds=3),
        start=datetime(2026, 1, 1),
        end=NOW,
        group="g",
        overlap="skip",
        message={"n": [1]},
    )
    again = PeriodicJob.from_definition("job", json.loads(declared.definition_json))

    assert again.definition_json == declared.definition_json
    assert again.problems() == []
