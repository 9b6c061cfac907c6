"""A deploy takes back what nobody has seen, and the new definition goes on; never the other way round."""

from __future__ import annotations

from collections import Counter
from datetime import timedelta

import psycopg
import pytest

from airflow_pgmq.core.limits import Limits
from airflow_pgmq.db.client import Client
from tests.fixtures.factories import (
    client_of,
    execute,
    go_back,
    hours,
    job,
    queued,
    read,
    slot,
    slots_in,
    state,
    tick,
)
from tests.fixtures.patience import patience

YEARLY = "0 0 1 1 *"
AHEAD = timedelta(hours=10)


def by_job(database):
    return Counter(row["headers"]["job"] for row in queued(database))


def sent_by(database):
    """The message of each slot."""
    return {slot(row["headers"]): row["message"] for row in queued(database)}


def known_jobs(database):
    found = execute(database, "SELECT name FROM airflow_pgmq.periodic_jobs ORDER BY name")
    return [row["name"] for row in found]


def test_job_that_left_the_code_is_withdrawn(database, client):
    tick(job("stays"), job("leaves")).run(client)

    summary = tick(job("stays")).run(client)

    assert summary.taken_back == 10
    assert by_job(database).keys() == {"stays"}
    assert known_jobs(database) == ["stays"]


def test_withdrawn_slots_are_free_again(database, client):
    tick(job("stays"), job("leaves")).run(client)
    tick(job("stays")).run(client)

    summary = tick(job("stays"), job("leaves")).run(client)

    assert summary.duplicates == 0
    assert len(slots_in(database, "leaves")) == 10


def test_job_whose_name_begins_like_that_of_a_removed_one_stays(database, client):
    names = ["a", "a.b", "a-b", "a0", "ab", "A"]
    tick(*map(job, names)).run(client)

    tick(*map(job, names[1:])).run(client)

    assert by_job(database).keys() == set(names[1:])


def test_messages_that_somebody_could_have_seen_stay(database, client):
    tick(job(), job("stays", cron=YEARLY)).run(client)
    visible, in_flight = [row["msg_id"] for row in queued(database)][:2]
    execute(database, "SELECT pgmq.set_vt('mail', %s, 0)", [in_flight])
    read(client, 1)
    execute(database, "SELECT pgmq.set_vt('mail', %s, 0)", [visible])

    summary = tick(job("stays", cron=YEARLY)).run(client)

    assert summary.taken_back == 8
    assert [row["msg_id"] for row in queued(database)] == [visible, in_flight]


def test_message_that_a_reader_holds_stays_and_is_not_waited_for(database, client):
    """It was made visible, and its reader's transaction is open: the snapshot does not know of the read."""
    tick(job(), job("stays", cron=YEARLY)).run(client)
    held = queued(database)[0]["msg_id"]
    with database.connect() as reader:
        reader.execute("SELECT msg_id FROM pgmq.q_mail WHERE msg_id = %s FOR UPDATE", [held])
        summary = tick(job("stays", cron=YEARLY)).run(client)

    assert summary.taken_back == 9
    assert [row["msg_id"] for row in queued(database)] == [held]
    taken = execute(database, "SELECT slot FROM airflow_pgmq.slots WHERE name = 'job'")
    assert [row["slot"] for row in taken] == slots_in(database)


def test_changed_message_takes_over_every_slot_that_is_not_visible(database, client):
    tick(job(message="old")).run(client)
    start = state(database)["horizon"] - AHEAD

    summary = tick(job(message="new")).run(client)

    assert summary.taken_back == 10
    assert {row["message"] for row in queued(database)} == {"new"}
    assert slots_in(database) == hours(start, state(database)["horizon"])


def test_changed_cron_takes_over(database, client):
    tick(job(cron="0 * * * *")).run(client)

    tick(job(cron="30 3 * * *"), look_ahead=72).run(client)

    assert {(at.hour, at.minute) for at in slots_in(database)} == {(3, 30)}
    assert len(slots_in(database)) == 3


def test_changed_queue_takes_over(database, client):
    execute(database, "SELECT pgmq.create('post')")
    tick(job()).run(client)

    summary = tick(job(queue_name="post")).run(client)

    assert (summary.taken_back, summary.sent) == (10, 10)
    assert (queued(database), len(queued(database, "post"))) == ([], 10)


def test_queue_of_a_removed_job_may_be_gone(database, client):
    execute(database, "SELECT pgmq.create('post')")
    tick(job(), job("letter", queue_name="post")).run(client)
    execute(database, "SELECT pgmq.drop_queue('post')")

    assert tick(job()).run(client).taken_back == 0
    assert known_jobs(database) == ["job"]


def test_changed_job_that_was_behind_catches_up(database, client):
    tick(job(message="old"), look_ahead=0).run(client)
    go_back(database, days=5)
    start = state(database)["watermark"]

    tick(job(message="new")).run(client)

    begun = state(database)["deployed_at"]
    assert slots_in(database) == hours(start, state(database)["horizon"])
    assert sent_by(database) == {at: "old" if at <= begun else "new" for at in slots_in(database)}


def test_slots_that_jitter_held_back_stay_with_the_old_definition(database, client):
    """Slots that have passed, whose messages are not visible yet: a definition begins at its deploy."""
    old = job(message="old", jitter=timedelta(hours=23))
    tick(old, look_ahead=0).run(client)
    go_back(database, hours=20)
    start = state(database)["watermark"]
    tick(old).run(client)
    seen = {slot(message.headers) for message in read(client)}
    assert 0 < len(seen) < 20

    tick(job(message="new", jitter=timedelta(hours=23))).run(client)

    begun = state(database)["deployed_at"]
    assert seen < set(slots_in(database))
    assert slots_in(database) == hours(start, state(database)["horizon"])
    assert sent_by(database) == {at: "old" if at <= begun else "new" for at in slots_in(database)}


def test_what_people_and_time_did_to_a_job_outlives_its_change(database, client):
    tick(job()).run(client)
    execute(database, "UPDATE airflow_pgmq.periodic_jobs SET paused = true")
    before = state(database)

    tick(job(message="new")).run(client)

    after = state(database)
    assert after["fingerprint"] != before["fingerprint"]
    for column in ("paused", "last_slot", "last_sent_at"):
        assert after[column] == before[column]


def test_set_of_a_lower_version_undoes_nothing(database, client):
    new = tick(job("changed", message="new"), job("added"), version=2)
    old = tick(job("changed", message="old"), job("removed"), version=1)
    old.run(client)
    new.run(client)
    before = queued(database)

    summary = old.run(client)

    assert (summary.outdated, summary.taken_back, summary.sent) == (3, 0, 0)
    assert queued(database) == before
    assert known_jobs(database) == ["added", "changed"]


def test_set_of_a_lower_version_goes_on_with_jobs_that_are_the_same(database, client):
    tick(job("same"), job("new"), version=2, look_ahead=0).run(client)
    go_back(database, hours=5)

    summary = tick(job("same"), job("old"), version=1, look_ahead=0).run(client)

    assert (summary.sent >= 5, summary.outdated) == (True, 2)
    assert by_job(database) == {"same": summary.sent}


def test_newer_set_takes_over_from_an_older_one(database, client):
    tick(job(message="old"), version=1).run(client)

    summary = tick(job(message="new"), version=2).run(client)

    assert (summary.taken_back, summary.outdated) == (10, 0)
    assert {row["message"] for row in queued(database)} == {"new"}


def test_job_of_a_lower_version_is_left_alone(database, client):
    """The sets have the same version, so only the job's own decides."""
    tick(job(message="new", version=2), job("other"), version=0).run(client)
    before = queued(database)

    summary = tick(job(message="old", version=1), job("other"), version=0).run(client)

    assert (summary.outdated, summary.taken_back) == (1, 0)
    assert [row for row in queued(database) if row["headers"]["job"] == "job"] == [
        row for row in before if row["headers"]["job"] == "job"
    ]


def test_job_of_a_lower_version_is_looked_at_again_by_every_tick(database, client):
    """The newer definition is gone from the database by hand: the older one takes over."""
    old = tick(job(message="old", version=1), job("other"), version=0)
    tick(job(message="new", version=2), job("other"), version=0).run(client)
    assert old.run(client).outdated == 1
    assert old.run(client).outdated == 1
    execute(database, "DELETE FROM airflow_pgmq.periodic_jobs WHERE name = 'job'")

    assert old.run(client).outdated == 0
    assert state(database)["version"] == 1


def test_job_of_a_higher_version_replaces_its_messages(database, client):
    tick(job(version=1)).run(client)

    tick(job(version=2)).run(client)

    assert {row["headers"]["version"] for row in queued(database)} == {2}
    assert len(queued(database)) == 10


def test_policies_may_change_without_taking_anything_back(database, client):
    tick(job(catch_up="all")).run(client)
    before = queued(database)

    summary = tick(job(catch_up="none", catch_up_limit=5)).run(client)

    assert summary.taken_back == 0
    assert queued(database)[:10] == before


def test_deploy_of_ten_thousand_jobs(database, client):
    # It computes for a second inside the transaction, which is longer on a busy machine.
    client = client_of(database.dsn, limits=Limits(idle=patience(10)))
    year = 365 * 24
    jobs = [job(f"job{n}", cron=f"{n % 60} 0 1 1 *") for n in range(10_000)]
    assert tick(*jobs, look_ahead=year).run(client).sent == 10_000

    summary = tick(*jobs[5_000:], look_ahead=year).run(client)

    assert (summary.taken_back, summary.sent) == (5_000, 0)
    assert len(queued(database)) == 5_000


class Killed(Client):
    """Raised after the checks of schema and queues, and the deploy."""

    transactions = 0

    def attempt(self, make, own):
        if self.transactions == 3:
            raise KeyboardInterrupt
        self.transactions += 1
        return super().attempt(make, own)


def test_what_a_deploy_took_back_before_it_died_is_sent_whatever_the_policy(database, client):
    one, other = (job(message=text, catch_up="none") for text in ("old", "new"))
    tick(one, grace=0).run(client)
    before = [at - timedelta(hours=3) for at in slots_in(database)]
    with pytest.raises(KeyboardInterrupt):
        tick(other, grace=0).run(Killed(lambda: psycopg.connect(database.dsn)))
    assert queued(database) == []
    go_back(database, hours=3)
    execute(database, "UPDATE airflow_pgmq.slots SET slot = slot - interval '3 hours'")

    summary = tick(other, grace=0).run(client)

    assert set(before) <= set(slots_in(database))
    assert (summary.dropped, summary.late) == (0, 3)


def test_slots_of_a_job_that_jitter_holds_back_beyond_its_window_are_taken_back(database, client):
    """The window of a slot begins when its message becomes visible."""
    held = job("held", jitter=timedelta(days=1))
    options = {"dedup_window": timedelta(hours=1), "look_ahead": 0}
    tick(held, job("stays"), **options).run(client)
    go_back(database, hours=20)
    tick(held, job("stays"), **options).run(client)

    assert tick(job("stays"), **options).run(client).taken_back > 0

    left = "SELECT FROM pgmq.q_mail WHERE headers ->> 'job' = 'held' AND vt > now()"
    assert execute(database, left) == []
