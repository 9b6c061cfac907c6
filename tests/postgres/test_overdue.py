"""A slot whose message is not acked in time is overdue, until it is; it is told once, whoever looks."""

from __future__ import annotations

import re
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest

from airflow_pgmq.db.statements import consuming, queues, reading, sending
from airflow_pgmq.db.statements import overdue as statements
from airflow_pgmq.services import job_control, live_jobs, maintenance, overdue
from tests.fixtures.clock import database_with_clock
from tests.fixtures.factories import NAMESPACE, client_of, execute, job, read, tick

ROOT = Path(__file__).parents[2]
MINUTE, HOUR = timedelta(minutes=1), timedelta(hours=1)
#: On the hour, when the job's slots are.
START = datetime(2027, 6, 10, 6, tzinfo=timezone.utc)
EXPECTING = {"expect_within": 30 * MINUTE}


@pytest.fixture
def clock(postgres_server):
    with database_with_clock(postgres_server) as clock:
        execute(clock.database, "SELECT pgmq.create('mail')")
        execute(clock.database, "SELECT pgmq.create('mail_dlq')")
        # Its default is CURRENT_TIMESTAMP, which no schema can shadow.
        execute(
            clock.database, "ALTER TABLE pgmq.a_mail ALTER archived_at SET DEFAULT fake.clock_timestamp()"
        )
        clock.set(START - MINUTE)
        yield clock


@pytest.fixture
def database(clock):
    return clock.database


@pytest.fixture
def client(database):
    return client_of(database.dsn)


@pytest.fixture
def told():
    return []


@pytest.fixture
def run(client, told):
    """Tick the job, which expects its slots within half an hour; what was told is in `told`."""

    def tell(slot):
        told.append(slot)
        return True

    def run(*jobs, **fields):
        fields = {"look_ahead": 1 / 6, "grace": 1 / 12, "tell": tell, **fields}
        return tick(*(jobs or [job(**EXPECTING)]), **fields).run(client)

    return run


@pytest.fixture
def listed(client):
    """What the hook and the view show."""

    def listed():
        return [(each.slot, each.state) for each in client.run(lambda: statements.overdue(None))]

    return listed


def at(*minutes):
    return [START + MINUTE * n for n in minutes]


def states(told):
    return [(each.slot, each.state) for each in told]


def test_a_message_that_waits_too_long_is_overdue_and_told_once(clock, run, told, listed):
    run()
    clock.set(START + 30 * MINUTE - timedelta(seconds=1))
    assert (run().overdue, listed(), told) == (0, [], [])

    clock.set(START + 30 * MINUTE)
    assert listed() == [(START, "waiting")]
    assert run().overdue == 1
    (slot,) = told
    assert (slot.namespace, slot.name, slot.queue_name, slot.msg_id) == (NAMESPACE, "job", "mail", 1)
    assert (slot.slot, slot.expected_at, slot.state) == (START, START + 30 * MINUTE, "waiting")
    assert slot.found_at == START + 30 * MINUTE

    clock.set(START + 31 * MINUTE)
    assert run().overdue == 1
    assert (len(told), listed()) == (1, [(START, "waiting")])


def test_it_leaves_the_list_when_it_is_acked_late(clock, client, run, told, listed):
    run()
    clock.set(START + 30 * MINUTE)
    run()
    held = read(client, visibility_timeout=600)
    assert listed() == [(START, "in_flight")]
    client.run(lambda: reading.archive("mail", held))
    assert listed() == []
    clock.set(START + 35 * MINUTE)

    assert run().overdue == 0
    assert states(told) == [(START, "waiting")]


@pytest.mark.parametrize("ack", [reading.archive, reading.delete])
def test_what_is_acked_in_time_is_not_overdue(clock, client, run, told, listed, ack):
    run()
    clock.set(START + 29 * MINUTE)
    client.run(lambda: ack("mail", read(client)))
    clock.set(START + 40 * MINUTE)

    assert (listed(), run().overdue, told) == ([], 0, [])


def test_what_was_archived_too_late_is_told_though_nobody_looked_in_between(clock, client, run, told, listed):
    run()
    clock.set(START + 31 * MINUTE)
    client.run(lambda: reading.archive("mail", read(client)))

    assert (listed(), run().overdue, states(told)) == ([], 0, [(START, "late")])
    assert run().overdue == 0
    assert len(told) == 1


def test_what_expired_is_told(clock, client, run, told):
    one = job(**EXPECTING, ttl=30 * MINUTE)
    run(one)
    clock.set(START + 32 * MINUTE)
    # Somebody else is faster than the tick.
    client.run(lambda: maintenance.expire("mail"))
    run(one)

    assert states(told) == [(START, "expired")]


def test_maintenance_tells_before_it_archives_what_expired(clock, client, run, told):
    run(job(**EXPECTING, ttl=30 * MINUTE))
    clock.set(START + 32 * MINUTE)

    done = maintenance.maintain(client, tell=lambda slot: told.append(slot) or True)

    assert (done.overdue, done.expired, states(told)) == (1, 1, [(START, "waiting")])


@pytest.mark.parametrize("guarded", [False, True])
def test_a_dead_letter_is_overdue_until_it_is_gone(clock, client, run, told, listed, guarded):
    if guarded:
        client.run(lambda: queues.guard("mail_dlq"))
    run()
    clock.set(START + 10 * MINUTE)
    held = read(client)
    client.run(lambda: consuming.dead_letter("mail", "mail_dlq", held, "no"))
    clock.set(START + 40 * MINUTE)
    run()
    assert (states(told), listed()) == ([(START, "dead")], [(START, "dead")])

    client.run(lambda: consuming.requeue("mail", source="dead_letters"))
    assert listed() == []
    run()
    assert len(told) == 1


def test_what_airflow_did_not_send_is_overdue(clock, client, run, told, listed):
    run()
    clock.set(START + 40 * MINUTE)
    client.run(lambda: reading.archive("mail", read(client)))
    # Nobody ticks at seven.
    clock.set(START + 2 * HOUR)
    assert listed() == [(START + HOUR, "not_sent")]

    run()

    # The tick sends it, and that of eight.
    assert states(told) == [(START, "late"), (START + HOUR, "not_sent")]
    assert listed() == [(START + HOUR, "waiting")]
    run()
    assert len(told) == 2


@pytest.mark.parametrize("catch_up", ["none", "last"])
def test_an_outage_that_left_slots_out_is_told_once(clock, client, run, told, listed, catch_up):
    one = job(**EXPECTING, catch_up=catch_up)
    run(one)
    client.run(lambda: reading.delete("mail", [1]))
    clock.set(START + 4 * HOUR + 10 * MINUTE)

    run(one)

    assert states(told) == [(START + HOUR, "not_sent")]
    client.run(lambda: reading.archive("mail", read(client)))
    assert listed() == []
    clock.set(START + 4 * HOUR + 11 * MINUTE)
    run(one)
    assert len(told) == 1


def test_what_a_pause_leaves_out_is_not_expected(clock, client, run, told, listed):
    run()
    client.run(lambda: job_control.pause(NAMESPACE, "job"))
    clock.set(START + 3 * HOUR)
    run()
    assert (listed(), told) == ([], [])
    client.run(lambda: job_control.resume(NAMESPACE, "job"))

    # Those of six, seven, eight and nine.
    assert run().sent == 4
    clock.set(START + 3 * HOUR + MINUTE)
    run()
    assert (listed(), told) == ([], [])

    clock.set(START + 3 * HOUR + 30 * MINUTE)
    run()
    assert states(told) == [(START + 3 * HOUR, "waiting")]


def test_a_backfill_of_the_past_is_not_expected(clock, client, run, told, listed):
    run()
    clock.set(START + MINUTE)
    tick(job(**EXPECTING)).backfill(client, START - 5 * HOUR, START - HOUR)
    run()

    assert (listed(), told) == ([], [])


def test_what_people_took_out_of_the_queue_is_done(clock, client, run, told, listed):
    one = [job(f"job{n}", **EXPECTING) for n in range(3)]
    run(*one)
    key = f"{NAMESPACE}/job0/2027-06-10T06:00:00Z"
    assert client.run(lambda: sending.cancel("mail", [key])) != []
    client.run(lambda: reading.delete("mail", [2]))
    execute(clock.database, "SELECT pgmq.drop_queue('mail')")
    clock.set(START + 31 * MINUTE)

    assert listed() == []


def test_a_slot_that_was_skipped_is_not_expected(clock, client, run, told, listed):
    run()
    client.run(lambda: job_control.skip(NAMESPACE, "job", START))
    clock.set(START + 40 * MINUTE)
    assert (run().overdue, told, listed()) == (0, [], [])


def test_a_live_job_is_told_of_too(clock, client, run, told, listed):
    client.run(lambda: live_jobs.put(NAMESPACE, [job(**EXPECTING)], by="me"))
    run(job("other"))
    clock.set(START + 30 * MINUTE)
    assert run(job("other")).overdue == 1
    assert states(told) == [(START, "waiting")]
    client.run(lambda: live_jobs.delete(NAMESPACE, "job", by="me"))
    assert listed() == []


def test_a_job_that_expects_nothing_is_not_looked_at(clock, run, told, listed):
    run(job())
    clock.set(START + 3 * HOUR)

    assert (run(job()).overdue, listed(), told) == (0, [], [])


def test_who_begins_to_expect_does_so_from_then_on(clock, client, run, told, listed):
    run(job())
    clock.set(START + 50 * MINUTE)
    summary = run()
    assert (summary.taken_back, listed()) == (0, [])
    clock.set(START + 91 * MINUTE)
    assert listed() == [(START + HOUR, "waiting")]

    # And from then on no longer.
    run()
    run(job())
    assert listed() == []


def test_another_time_is_a_policy(clock, run, listed):
    run()
    clock.set(START + 20 * MINUTE)
    assert run(job(expect_within=15 * MINUTE)).taken_back == 0
    assert listed() == [(START, "waiting")]


def test_a_job_that_left_the_code_is_not_expected(clock, run, told, listed):
    run()
    clock.set(START + 31 * MINUTE)
    run(job("other"))

    assert (listed(), states(told)) == ([], [(START, "waiting")])
    assert execute(clock.database, "SELECT FROM airflow_pgmq.alerts") == []


def test_ticks_and_maintenance_at_once_tell_once(clock, client, database, run, told):
    run()
    clock.set(START + 40 * MINUTE)

    def look(number):
        own = client_of(database.dsn)
        if number % 2:
            return overdue_of(own, told)
        return maintenance.maintain(own, tell=lambda slot: told.append(slot) or True)

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(look, range(16)))

    assert states(told) == [(START, "waiting")]


def overdue_of(client, told):
    with client.connection() as conn:
        found = client.attempt(lambda: overdue.find(NAMESPACE, tells=True), conn)
        overdue.give(client, conn, found.alerts, lambda slot: told.append(slot) or True)


def test_what_nobody_took_is_told_again_after_a_while(clock, run, told):
    run()
    clock.set(START + 30 * MINUTE)
    tried = []
    run(tell=lambda slot: tried.append(slot))
    clock.set(START + 34 * MINUTE)
    run()
    assert (len(tried), told) == (1, [])

    clock.set(START + 35 * MINUTE)
    run()
    run()
    assert states(told) == [(START, "waiting")]


def test_a_tick_that_has_nobody_to_tell_leaves_it_to_maintenance(clock, client, run, told):
    run()
    clock.set(START + 30 * MINUTE)
    assert run(tell=None).overdue == 1

    maintenance.maintain(client, tell=lambda slot: told.append(slot) or True)

    assert states(told) == [(START, "waiting")]


def test_a_tick_that_fails_tells_too(clock, client, run, told, database):
    run()
    clock.set(START + 30 * MINUTE)
    execute(database, "UPDATE airflow_pgmq.namespaces SET owner = 'another', ticked_at = %s", [clock.read()])
    with pytest.raises(Exception, match="is ticked by 'another'"):
        run()

    assert states(told) == [(START, "waiting")]


def test_many_are_told_in_parts(clock, run, told):
    many = [job(f"job{n}", **EXPECTING) for n in range(150)]
    run(*many)
    clock.set(START + 30 * MINUTE)

    assert run(*many).overdue == 150
    assert len(told) == 100
    run(*many)
    assert len(told) == len({each.name for each in told}) == 150


def test_a_queue_that_is_locked_is_unknown_and_hides_no_other(clock, client, database, run, told, listed):
    execute(database, "SELECT pgmq.create('post')")
    both = [job(**EXPECTING), job("other", queue_name="post", **EXPECTING)]
    run(*both)
    clock.set(START + 31 * MINUTE)
    with database.connect() as locking:
        locking.execute("LOCK TABLE pgmq.q_mail IN ACCESS EXCLUSIVE MODE")
        found = {(each.name, each.state) for each in client.run(lambda: statements.overdue(None))}
        assert found == {("job", "unknown"), ("other", "waiting")}
        locking.rollback()

    run(*both)
    assert {each.name for each in told} == {"job", "other"}


def test_a_queue_of_an_odd_name(clock, client, database, run, told):
    name = 'Mail %s "x"'
    execute(database, "SELECT pgmq.create(%s)", [name])
    one = job(queue_name=name, **EXPECTING)
    run(one)
    clock.set(START + 30 * MINUTE)
    run(one)

    assert [(each.queue_name, each.state) for each in told] == [(name, "waiting")]


def test_it_stays_listed_until_its_row_is_pruned(clock, client, run, listed):
    run()
    for days in range(1, 12):
        clock.set(START + timedelta(days=days))
        run(job(**EXPECTING, catch_up="none"))
        client.run(lambda: sending.prune_slots(1000))
        if days < 6:
            assert (START, "waiting") in listed()
    clock.set(START + timedelta(days=20))
    run(job(**EXPECTING, catch_up="none"))
    assert START not in [slot for slot, _ in listed()]


@pytest.mark.parametrize("until", [1, 60, 3600 * 24 * 3000])
def test_the_database_reads_the_time_of_the_definition(client, database, run, until):
    run(job(expect_within=timedelta(seconds=until + 0.25)))
    seconds = "SELECT extract(epoch FROM expect_within)::float8 AS seconds FROM airflow_pgmq.periodic_jobs"
    assert execute(database, seconds) == [{"seconds": until + 0.25}]


def test_without_expectations_nothing_is_asked(database, run):
    run(job())
    execute(database, "DROP FUNCTION airflow_pgmq.overdue_slots CASCADE")
    assert run(job(message="new")).failed == {}


def test_a_tick_that_cannot_look_sends_and_says_so(clock, database, run):
    run()
    execute(database, "DROP TABLE airflow_pgmq.alerts")
    clock.set(START + HOUR)
    summary = run(job(**EXPECTING), job("other"))

    assert (summary.sent, list(summary.failed)) == (1, ["job"])
    assert "whether its slots are overdue cannot be found out" in summary.failed["job"][0]


def test_the_sql_of_the_page_runs(clock, database, run):
    blocks = re.findall(r"```sql\n(.*?)```", (ROOT / "docs" / "guides" / "overdue.md").read_text(), re.S)
    (block,) = [each for each in blocks if "airflow_pgmq.overdue" in each]
    count, cron = block.split(";", 1)
    (body,) = re.findall(r"\$\$(.*?)\$\$", cron, re.S)
    execute(database, "SELECT pgmq.create('alerts')")
    run()
    with database.connect(autocommit=True) as connection:
        clock.set(START + 30 * MINUTE)
        assert connection.execute(count).fetchone() == (1,)
        connection.execute(body)
        clock.set(START + 32 * MINUTE)
        connection.execute(body)

    (row,) = execute(database, "SELECT message FROM pgmq.q_alerts")
    assert (row["message"]["name"], row["message"]["state"]) == ("job", "waiting")
