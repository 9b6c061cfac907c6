"""What the page says of periodic jobs: when they send next, and what became of their last slots."""

from __future__ import annotations

import json
import sys
from collections import Counter
from datetime import datetime, timedelta, timezone

import pytest

from airflow_pgmq.core import payload, slots
from airflow_pgmq.core.jobs import PeriodicJob
from airflow_pgmq.core.schedule.excluding import Calendar
from airflow_pgmq.errors import JobNotFound
from airflow_pgmq.services import doctor, job_control, overview
from tests.fixtures.factories import execute, go_back, job, state, tick

HOUR = timedelta(hours=1)


def states(found):
    return Counter(each["state"] for each in found["slots"])


def codes(owner):
    return [problem["code"] for problem in owner["problems"]]


def deployed_long_ago(database):
    execute(database, "UPDATE airflow_pgmq.periodic_jobs SET deployed_at = now() - interval '30 days'")


def test_a_job_as_it_is_shown(client, database):
    tick(job(cron="30 7 * * 1-5", timezone="Europe/Berlin", version=3)).run(client)
    found = overview.job(client, "shop", "job")

    assert (found["schedule"], found["words"]) == ("30 7 * * 1-5", "At 07:30, Monday through Friday")
    assert (found["timezone"], found["version"], found["queue_name"]) == ("Europe/Berlin", 3, "mail")
    assert (found["dag_id"], found["task_id"]) == ("dag", "task")
    assert len(found["next_slots"]) == 5
    assert found["next_slots"] == sorted(found["next_slots"])
    assert codes(found) == []


def test_a_slot_that_people_skip_is_not_next(client, database):
    tick(job(), job("other")).run(client)
    before = overview.jobs(client)["jobs"]
    second = before[0]["next_slots"][1]
    client.run(lambda: job_control.skip("shop", "job", second))
    after = overview.jobs(client)["jobs"]

    assert second not in after[0]["next_slots"]
    assert len(after[0]["next_slots"]) == 5
    assert after[1]["next_slots"] == before[1]["next_slots"]
    assert second not in overview.job(client, "shop", "job")["next_slots"]


def test_what_was_sent_ahead_of_time_is_on_time(client, database):
    tick(job()).run(client)
    found = overview.job(client, "shop", "job")

    assert found["last_slot"] == state(database)["last_slot"]
    assert found["lateness"] == 0
    # None of its slots has come yet.
    assert found["slots"] == []


def test_slots_that_came_after_they_were_sent(client, database):
    """Six hours ago a tick sent ahead; nothing since."""
    tick(job()).run(client)
    deployed_long_ago(database)
    go_back(database, hours=6)
    execute(
        database,
        "UPDATE airflow_pgmq.slots SET first_at = first_at - interval '7 h', slot = slot - interval '6 h',"
        " visible_at = visible_at - interval '6 h'",
    )
    found = overview.job(client, "shop", "job")

    assert states(found)["sent"] == 6
    assert states(found)["late"] == 0


def test_slots_that_were_caught_up_are_late(client, database):
    tick(job(), look_ahead=0).run(client)
    deployed_long_ago(database)
    go_back(database, hours=5)
    tick(job(), look_ahead=0, grace=0).run(client)
    found = overview.job(client, "shop", "job")

    # At a full hour, one of them is only due.
    past = datetime.now(timezone.utc) - timedelta(minutes=10)
    assert [each["state"] for each in found["slots"] if each["slot"] < past][-4:] == ["late"] * 4


def test_slots_that_a_policy_left_out_are_missed(client, database):
    lazy = job(catch_up="none")
    tick(lazy, look_ahead=0, grace=1).run(client)
    deployed_long_ago(database)
    go_back(database, hours=5)
    tick(lazy, look_ahead=0, grace=0).run(client)
    found = overview.job(client, "shop", "job")

    assert [each["state"] for each in found["slots"]][-4:] == ["missed"] * 4


def test_slots_that_were_enqueued_again_are_duplicates(client, database):
    tick(job(), look_ahead=0).run(client)
    deployed_long_ago(database)
    go_back(database, hours=3)
    tick(job(), look_ahead=0).run(client)
    now = state(database)["now"]
    summary = tick(job()).backfill(client, now - 2 * HOUR, now)
    found = overview.job(client, "shop", "job")

    assert summary.duplicates == 2
    assert [each["state"] for each in found["slots"]][-3:] == ["late", "duplicate", "duplicate"]
    assert execute(database, "SELECT count(*) FROM airflow_pgmq.slots WHERE repeats = 1")[0]["count"] == 2


def test_nothing_is_said_of_slots_before_the_deploy(client):
    tick(job(cron="* * * * *")).run(client)

    assert overview.job(client, "shop", "job")["slots"] == []


def test_a_new_definition_begins_again(client, database):
    tick(job(cron="0 * * * *")).run(client)
    deployed_long_ago(database)
    go_back(database, hours=5)
    tick(job(cron="30 * * * *")).run(client)
    found = overview.job(client, "shop", "job")

    assert "missed" not in states(found)


def test_slots_that_the_ledger_has_forgotten_are_not_missed(client, database):
    short = {"dedup_window": timedelta(hours=2), "look_ahead": 0}
    tick(job(), **short).run(client)
    deployed_long_ago(database)
    go_back(database, hours=5)
    tick(job(), **short).run(client)
    # As if all had been sent in time, and the windows of the first ones were over.
    execute(
        database,
        "UPDATE airflow_pgmq.slots SET first_at = slot, expires_at = slot + interval '2 h'",
    )
    execute(database, "DELETE FROM airflow_pgmq.slots WHERE expires_at < now()")
    found = overview.job(client, "shop", "job")

    assert states(found) == {"sent": 2}


def test_a_paused_job_waits(client, database):
    tick(job(), look_ahead=0).run(client)
    deployed_long_ago(database)
    client.run(lambda: job_control.pause("shop", "job"))
    go_back(database, hours=3)
    found = overview.job(client, "shop", "job")

    assert found["paused"]
    assert found["next_slots"] == []
    assert [each["state"] for each in found["slots"]][-3:] == ["waiting"] * 3
    assert codes(found) == []


def test_at_most_thirty_slots(client, database):
    tick(job(cron="* * * * * */10"), look_ahead=0).run(client)
    deployed_long_ago(database)
    go_back(database, hours=3)
    tick(job(cron="* * * * * */10"), look_ahead=0).run(client)

    assert len(overview.job(client, "shop", "job")["slots"]) == 30


# Problems.


def test_a_dag_that_stopped_ticking(client, database):
    tick(job()).run(client)
    execute(database, "UPDATE airflow_pgmq.namespaces SET ticked_at = now() - interval '6 min'")
    found = overview.jobs(client)

    assert codes(found["namespaces"][0]) == ["not_ticking"]
    assert found["namespaces"][0]["version"] == 0
    # One cause is one problem.
    assert codes(found["jobs"][0]) == []


def test_jobs_that_a_tick_left_out(client, database):
    """Those that were never deployed are in no list, so the namespace names them."""
    lost = job("lost", queue_name="nowhere"), job("closed", exclude=[Calendar("gone")])
    tick(job(), *lost).run(client)
    [namespace] = overview.jobs(client)["namespaces"]
    [problem] = namespace["problems"]
    assert problem["code"] == "left_out"
    for each in ("2 jobs", "lost: queue 'nowhere' does not exist", "closed: ", "'gone'"):
        assert each in problem["text"]
    [found] = [each for each in doctor.examine(client) if each.code == "left_out"]
    assert found.text == problem["text"]

    execute(database, "SELECT pgmq.create('nowhere')")
    tick(job(), lost[0]).run(client)
    assert overview.jobs(client)["namespaces"][0]["problems"] == []


def test_a_job_that_its_ticks_do_not_get_to(client, database):
    tick(job()).run(client)
    execute(database, "UPDATE airflow_pgmq.periodic_jobs SET next_slot = now() - interval '3 min'")

    assert codes(overview.job(client, "shop", "job")) == ["job_behind"]


def test_a_definition_of_newer_code_is_shown_as_far_as_it_can_be(client, database):
    tick(job()).run(client)
    execute(
        database,
        """UPDATE airflow_pgmq.periodic_jobs SET definition = '{"cron": "every other day", "new": 1}'""",
    )
    found = overview.job(client, "shop", "job")

    assert (found["schedule"], found["words"]) == ("every other day", "every other day")
    assert (found["next_slots"], found["slots"]) == ([], [])


@pytest.mark.parametrize("definition", ["null", "5", '"x"', "[]"])
def test_an_unreadable_definition_spoils_its_own_row_only(client, database, definition):
    tick(job("bad"), job("good")).run(client)
    execute(database, f"UPDATE airflow_pgmq.periodic_jobs SET definition = '{definition}' WHERE name = 'bad'")
    bad, good = overview.jobs(client)["jobs"]

    assert (bad["schedule"], bad["words"], bad["next_slots"]) == (None, "", [])
    assert codes(bad) == ["unreadable_job"]
    assert good["next_slots"]
    assert codes(good) == []


ODD = {
    "a duration that no timedelta holds": {"jitter": 1e30},
    "a duration in words": {"ttl": "a while"},
    "a cron that this code does not know": {"cron": "every other day"},
    "a day that never comes": {"cron": "0 0 30 2 *"},
    "a cron that is none": {"cron": 5},
    "an order of fields that this code does not know": {"cron": "* * * * * *", "seconds": ["middle"]},
    "a zone that this system does not know": {"timezone": "Mars/Phobos"},
    "a zone that is none": {"timezone": 5},
    "a bound that is no time": {"start": "soon"},
    "a bound before all times": {"start": "0001-01-01T00:00:00+14:00"},
    "a bound after all times": {"end": "9999-12-31T23:59:59-14:00"},
}


@pytest.mark.parametrize("odd", ODD.values(), ids=ODD)
def test_a_job_that_this_code_cannot_read_is_shown_with_that_problem(client, database, odd):
    """Newer code, or people, have stored it."""
    tick(job("bad"), job("good")).run(client)
    deployed_long_ago(database)
    execute(
        database,
        "UPDATE airflow_pgmq.periodic_jobs SET definition = definition || %s::jsonb WHERE name = 'bad'",
        [json.dumps(odd)],
    )
    bad, good = overview.jobs(client)["jobs"]

    assert (bad["name"], bad["queue_name"], bad["next_slots"], bad["slots"]) == ("bad", "mail", [], [])
    assert (bad["lateness"], bad["last_slot"]) == (None, good["last_slot"])
    (problem,) = bad["problems"]
    assert (problem["code"], problem["severity"]) == ("unreadable_job", "warning")
    assert (len(good["next_slots"]), codes(good)) == (5, [])


def test_what_is_wrong_with_an_unreadable_job_is_named(client, database):
    tick(job()).run(client)
    execute(
        database,
        """UPDATE airflow_pgmq.periodic_jobs SET definition = definition || '{"cron": "every other day"}'""",
    )
    (problem,) = overview.job(client, "shop", "job")["problems"]

    assert "cron 'every other day' has 3 fields" in problem["text"]
    execute(database, "UPDATE airflow_pgmq.periodic_jobs SET definition = '{}'")
    (problem,) = overview.job(client, "shop", "job")["problems"]
    assert "KeyError: 'cron'" in problem["text"]


def test_a_look_computes_each_jobs_slots_once_and_checks_nothing_again(client, monkeypatch):
    """A page refreshes every few seconds, with a thousand jobs."""
    tick(*(job(f"job{n}") for n in range(3))).run(client)
    called = []

    def watch(owner, name):
        original = getattr(owner, name)

        def called_by(*args, **kwargs):
            called.append(name)
            return original(*args, **kwargs)

        monkeypatch.setattr(owner, name, called_by)

    watch(slots, "before")
    watch(payload, "canonical")
    watch(PeriodicJob, "problems")

    assert [each["name"] for each in overview.jobs(client)["jobs"]] == ["job0", "job1", "job2"]
    assert called == ["before"] * 3


def test_unknown_jobs(client):
    with pytest.raises(JobNotFound):
        overview.job(client, "shop", "job")


def test_all_namespaces(client):
    tick(job("one"), namespace="a").run(client)
    tick(job("two"), namespace="b", owner="other.task").run(client)
    found = overview.jobs(client)

    assert [(each["namespace"], each["name"]) for each in found["jobs"]] == [("a", "one"), ("b", "two")]
    assert [each["namespace"] for each in found["namespaces"]] == ["a", "b"]


def test_of_very_many_jobs_only_what_is_stored_is_shown(client, monkeypatch):
    tick(job("a"), job("b"), job("c")).run(client)
    whole = {each["name"]: each["next_slots"] for each in overview.jobs(client)["jobs"]}
    monkeypatch.setattr(sys.modules["airflow_pgmq.services.overview.jobs"], "READ", 1)
    first, *others = overview.jobs(client)["jobs"]
    assert first["next_slots"] == whole["a"]
    assert [(each["name"], each["schedule"], each["slots"]) for each in others] == [
        ("b", "0 * * * *", None),
        ("c", "0 * * * *", None),
    ]
    # The first slot after those that the tick has sent ahead.
    assert all(len(each["next_slots"]) == 1 for each in others)
    client.run(lambda: job_control.pause("shop", "c"))
    assert overview.jobs(client)["jobs"][2]["next_slots"] == []
