"""Every file in `dags/` is imported as Airflow does it, and run."""

from __future__ import annotations

import re
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from itertools import takewhile
from pathlib import Path

import pytest
from psycopg.rows import tuple_row

from airflow_pgmq.jobs import jobs_from_yaml
from airflow_pgmq.triggers import PgmqMessageTrigger

DAGS = Path(__file__).parents[2] / "dags"
QUEUES = (
    *("audit", "billing", "bookings", "cache", "mail", "maintenance", "markets", "orders", "payments"),
    *("reports", "signups"),
)


@pytest.fixture
def example_dag(airflow_metadata):
    """The Dag of a file in `dags/`, which is named after it."""
    try:
        from airflow.dag_processing.dagbag import DagBag
    except ImportError:  # Airflow before 3.2
        from airflow.models.dagbag import DagBag

    def load(dag_id):
        bag = DagBag(DAGS / f"{dag_id}.py")
        assert bag.import_errors == {}
        return bag.dags[dag_id]

    return load


@pytest.fixture
def hook(pgmq_connection):
    from airflow_pgmq.hooks import PgmqHook

    hook = PgmqHook(pgmq_connection)
    for queue_name in QUEUES:
        hook.create_queue(queue_name)
    return hook


@pytest.fixture
def query(database):
    def run(statement):
        with database.connect(row_factory=tuple_row) as connection:
            return connection.execute(statement).fetchall()

    return run


@pytest.mark.parametrize("path", sorted(DAGS.glob("*.py")), ids=lambda path: path.stem)
def test_every_file_is_one_documented_dag(path, example_dag):
    dag = example_dag(path.stem)

    assert dag.doc_md
    assert "pgmq" in dag.tags
    assert not dag.catchup


@pytest.mark.parametrize("path", sorted(DAGS.glob("*.py")), ids=lambda path: path.stem)
def test_every_file_says_which_queues_it_needs(path):
    row = next(line for line in (DAGS / "README.md").read_text().splitlines() if f"[`{path.name}`]" in line)
    used = set(re.findall(r'queue[_-]name[= ]"?(\w+)', path.read_text()))
    assert set(re.findall(r"`(\w+)`", row.split("|")[3])) == used
    # A user who copies only the file needs to read it there.
    told = re.search(r"`airflow pgmq init ([\w ]+)`", path.read_text())
    assert told is None or set(told[1].split()) == used
    assert told or not used or path.stem == "pgmq_daily_report"


def test_one_command_makes_the_queues_of_all():
    (queues,) = re.findall(r"^airflow pgmq init (.+)$", (DAGS / "README.md").read_text(), re.M)
    assert set(queues.split()) == set(QUEUES)


def test_periodic_jobs_wait_for_their_slots(example_dag, run_dag, hook, query):
    run = run_dag(example_dag("pgmq_periodic_jobs"))

    summary = run.xcom("tick")
    assert run.state == "success"
    assert summary["jobs"] == 12
    # Ten minutes of a probe every 10 s, a cache to warm every 30 s, and metering each minute.
    assert summary["sent"] >= 60 + 20 + 10 - 3
    assert query("SELECT count(*) FROM pgmq.q_cache WHERE vt <> (headers ->> 'slot')::timestamptz") == [(0,)]


def test_a_second_tick_sends_no_slot_twice(example_dag, run_dag, hook, query):
    run_dag(example_dag("pgmq_periodic_jobs"))
    run_dag(example_dag("pgmq_periodic_jobs"))

    assert (
        query(
            "SELECT headers ->> 'job', headers ->> 'slot' FROM pgmq.q_cache GROUP BY 1, 2 HAVING count(*) > 1"
        )
        == []
    )


def test_a_slot_that_nobody_worked_on_is_told(example_dag, run_dag, hook, query, caplog):
    dag = example_dag("pgmq_periodic_jobs")
    run_dag(dag)
    query(
        "UPDATE airflow_pgmq.periodic_jobs SET expected_until = 'epoch', watermark = '2026-01-31T20:00Z',"
        " next_slot = '2026-01-31T21:00Z' WHERE name = 'payroll' RETURNING 1"
    )
    summary = run_dag(example_dag("pgmq_periodic_jobs")).xcom("tick")

    assert summary["overdue"] == 1
    assert "slot 2026-01-31T21:00:00Z of job demo/payroll was expected by 2026-01-31T23:00:00Z" in caplog.text


def test_a_dead_letter_pauses_its_job(example_dag, run_dag, hook, query):
    run_dag(example_dag("pgmq_periodic_jobs"))
    hook.create_queue("billing_dlq")
    query(
        "INSERT INTO pgmq.q_billing_dlq (vt, message, headers) VALUES (now(), '{}',"
        " jsonb_build_object('dedup_key', 'demo/payroll/2026-01-31T21:00:00Z')) RETURNING 1"
    )
    assert run_dag(example_dag("pgmq_periodic_jobs")).xcom("tick")["paused"] == 1
    paused = {each["name"]: each["paused_for"] for each in hook.list_jobs("demo") if each["paused"]}
    assert paused.keys() == {"payroll"}
    assert "2026-01-31T21:00:00Z" in paused["payroll"]


def test_every_queue_of_the_jobs_is_needed(example_dag):
    (tick,) = example_dag("pgmq_periodic_jobs").tasks

    others = {"audit", "bookings", "orders", "payments", "reports", "signups"}
    assert {job.queue_name for job in tick.jobs} | others == set(QUEUES)


def test_jobs_beyond_cron_have_the_days_that_the_file_says(example_dag):
    """In November 2026, whose 1st is a Sunday."""
    (tick,) = example_dag("pgmq_business_days").tasks
    start, end = (datetime(2026, month, 1, tzinfo=timezone.utc) for month in (11, 12))
    days = {
        job.name: [slot.day for slot in takewhile(lambda slot: slot < end, job.slots.after(start))]
        for job in tick.jobs
        if job.name != "usage"
    }
    assert days == {"invoices": [2], "closing": [27], "review": [2], "retrospective": [12, 26]}


def test_messages_of_jobs_beyond_cron_know_their_slot(example_dag, run_dag, hook, query):
    dag = without_retries(example_dag("pgmq_business_days"))
    dag.tasks[0].look_ahead = timedelta(days=40)
    assert run_dag(dag).state == "success"
    found = query(
        "SELECT message ->> 'month', left(headers ->> 'slot', 7) FROM pgmq.q_billing"
        " WHERE headers ->> 'job' = 'invoices'"
    )
    assert found
    assert all(told == slot for told, slot in found)
    usage = query("SELECT message FROM pgmq.q_reports WHERE headers ->> 'job' = 'usage' ORDER BY msg_id")
    assert len(usage) > 600
    for (message,) in usage[:20]:
        start, end = (datetime.fromisoformat(message[name]) for name in ("from", "to"))
        assert end - start == timedelta(minutes=90)
        assert message["regions"] == ["eu", "us"]


def test_steps_of_a_customer_are_done_in_order(example_dag, run_dag, hook, query):
    run = run_dag(without_retries(example_dag("pgmq_in_order")))
    assert run.state == "success"
    rows = query(
        "SELECT headers ->> 'x-pgmq-group', message ->> 'step' FROM pgmq.a_bookings"
        " ORDER BY archived_at, msg_id"
    )
    for customer in ("ann", "ben", "cleo"):
        assert [step for group, step in rows if group == customer] == ["reserve", "charge", "confirm"]


def test_a_topic_reaches_the_bound_queues(example_dag, run_dag, hook):
    dag = without_retries(example_dag("pgmq_topics"))
    run = run_dag(dag, logical_date=datetime(2026, 6, 1, 16, tzinfo=timezone.utc))
    assert run.state == "success"
    for queue_name in ("audit", "reports"):
        assert [each.message for each in hook.peek(queue_name)] == [{"day": "2026-06-01"}]


def test_live_jobs_are_changed_while_the_dag_ticks(example_dag, run_dag, hook, query, tmp_path):
    """Put, edited, skipped, paused, resumed, and sent again by hand, with a calendar and from a file."""

    def ticked():
        run = run_dag(without_retries(example_dag("pgmq_live_jobs")))
        assert run.state == "success"
        return run.xcom("tick")

    def waiting():
        rows = query(
            "SELECT headers ->> 'job', (headers ->> 'slot')::timestamptz, message FROM pgmq.q_reports"
            " ORDER BY vt, msg_id"
        )
        return [(name, slot, message) for name, slot, message in rows if slot > datetime.now(timezone.utc)]

    file = tmp_path / "jobs.yaml"
    file.write_text(
        "defaults: {queue_name: reports}\n"
        "jobs:\n"
        "- {name: acme, schedule: '* * * * *', message: {at: '{{ slot | ts }}'}, catch_up: all}\n"
        "- {name: closed, schedule: '* * * * *', exclude: [{calendar: holidays}]}\n"
    )
    today = datetime.now(timezone.utc).date()
    hook.put_calendar("holidays", {today + timedelta(days=n): "closed" for n in range(3)})
    hook.put_jobs("tenants", jobs_from_yaml(file))
    assert ticked()["jobs"] == 2
    first = waiting()
    # The other one has no slots on these days.
    assert {name for name, *_ in first} == {"acme"}
    assert [message for _, _, message in first] == [{"at": slot.isoformat()} for _, slot, _ in first]

    skipped = first[-1][1]
    hook.skip_slot("tenants", "acme", skipped)
    (acme, _) = jobs_from_yaml(file)
    hook.put_job("tenants", replace(acme, message="changed"), expected_version=1)
    ticked()
    second = waiting()
    assert {message for _, _, message in second} == {"changed"}
    assert skipped not in [slot for _, slot, _ in second]
    assert len(second) >= len(first) - 2

    assert hook.pause_job("tenants", "acme") > 0
    assert (ticked()["sent"], waiting()) == (0, [])
    hook.resume_job("tenants", "acme", catch_up="none")
    assert ticked()["sent"] > 0
    past = datetime(2026, 1, 1, 6, tzinfo=timezone.utc)
    assert hook.run_job_now("tenants", "acme", slot=past).status == "sent"
    hook.purge("reports")
    # A purge leaves what waits for its slot.
    assert waiting() != []
    assert [each.version for each in hook.job_versions("tenants", "acme")] == [2, 1]
    assert hook.delete_job("tenants", "acme") > 0
    assert waiting() == []


def test_each_tick_stands_for_a_minute(example_dag):
    """Else a backfill run, which sends the slots of its own interval, would send none."""
    noon = datetime(2026, 5, 4, 12, tzinfo=timezone.utc)

    interval = example_dag("pgmq_periodic_jobs").timetable.infer_manual_data_interval(run_after=noon)

    assert interval.end - interval.start == timedelta(minutes=1)


def test_daily_report_is_sent_once_a_day(example_dag, run_dag_as, hook, query):
    dag = without_retries(example_dag("pgmq_daily_report"))

    def run(run_type, day):
        slot = datetime(2026, 5, day, 7, tzinfo=timezone.utc)
        return run_dag_as(dag, run_type, slot).xcom("send_report")

    # Each of the fourth's runs takes the place of the one before, as after it was deleted.
    results = [run("scheduled", 4), run("scheduled", 4), run("backfill", 4), run("backfill", 5)]

    assert [result["status"] for result in results] == ["sent", "duplicate", "duplicate", "sent"]
    assert results[1]["msg_id"] == results[2]["msg_id"] == results[0]["msg_id"]
    assert query("SELECT message ->> 'day' FROM pgmq.q_reports ORDER BY msg_id") == [
        ("2026-05-04",),
        ("2026-05-05",),
    ]


def without_retries(dag):
    """The Dag without retries, so that a failure shows at once and not after five minutes."""
    for task in dag.tasks:
        task.retries = 0
    return dag


def test_runs_that_are_started_take_no_key_of_the_days_own_run(example_dag, run_dag_as, hook, query):
    """Neither of a day in the past, nor of today before seven o'clock."""
    slot = datetime(2026, 5, 4, 7, tzinfo=timezone.utc)
    dag = without_retries(example_dag("pgmq_daily_report"))
    runs = [
        ("manual", None),
        ("manual", None),
        ("asset_triggered", None),
        ("manual", slot),
        ("scheduled", slot),
    ]
    for run_type, date in runs:
        run = run_dag_as(dag, run_type, date)
        assert run.state == "success"
        assert run.xcom("send_report")["status"] == "sent"
        day = (date or run.dag_run.run_after).strftime("%Y-%m-%d")
        assert query("SELECT message ->> 'day' FROM pgmq.q_reports ORDER BY msg_id DESC LIMIT 1") == [(day,)]


def test_paid_orders_are_shipped_and_open_ones_stay(example_dag, run_dag, hook, query):
    hook.send_batch("orders", [{"order": 1, "status": "open"}, {"order": 2, "status": "paid"}])

    run = run_dag(example_dag("pgmq_wait_for_messages"))

    assert run.state == "success"
    assert run.xcom("ship") == [2]
    assert query("SELECT (message ->> 'order')::int FROM pgmq.q_orders") == [(1,)]
    assert query("SELECT (message ->> 'order')::int FROM pgmq.a_orders") == [(2,)]


def test_a_message_wakes_the_deferred_consumer(example_dag, run_dag, hook, monkeypatch):
    deferred = threading.Event()
    wait_for_message = PgmqMessageTrigger.run

    async def run(self):
        deferred.set()
        async for event in wait_for_message(self):
            yield event

    def send_once_deferred():
        assert deferred.wait(60)
        hook.send("orders", {"order": 3, "status": "paid"})

    monkeypatch.setattr(PgmqMessageTrigger, "run", run)
    with ThreadPoolExecutor() as pool:
        sent = pool.submit(send_once_deferred)
        run = run_dag(example_dag("pgmq_wait_for_messages"))
        sent.result()

    assert run.xcom("ship") == [3]


def test_who_signed_up_is_welcomed(example_dag, run_dag, hook, query):
    hook.send_batch("signups", [{"name": "Ada"}, {"name": "Grace"}])

    run = run_dag(example_dag("pgmq_event_driven"))

    assert run.state == "success"
    assert query("SELECT count(*) FROM pgmq.q_signups") == [(0,)]
    assert query("SELECT message ->> 'name' FROM pgmq.a_signups ORDER BY msg_id") == [("Ada",), ("Grace",)]


def test_payments_are_booked_once_and_dead_ones_come_back(example_dag, run_dag, hook, query):
    hook.send_batch("payments", [{"id": 1, "amount": 5}, {"id": 2, "amount": 0}])
    hook.dead_letter("payments", dead_payment(hook), "no", dead_letter_queue="payments_dlq")
    hook.send_batch("mail", [{"to": "a@b.example"}, {"to": "nobody"}, {"to": "c@busy.example"}])

    run = run_dag(example_dag("pgmq_consume"), run_conf={"requeue": True})

    # The payment without an amount came back, failed again, and waits for its next read.
    assert run.states == {
        "wants_requeue": "success",
        "requeue": "success",
        "make_books": "success",
        "book": "failed",
        "deliver": "success",
    }
    assert query("SELECT * FROM books") == [(1, 5)]
    assert query("SELECT message ->> 'id', read_ct FROM pgmq.q_payments") == [("2", 1)]
    assert query("SELECT headers -> 'dead_letter' ->> 'reason' FROM pgmq.q_mail_dlq") == [
        ("'nobody' is no address",)
    ]
    assert run.xcom("deliver")["retried"] == 1


def dead_payment(hook):
    hook.create_queue("payments_dlq")
    return [
        message
        for message in hook.read("payments", max_messages=2, visibility_timeout=0)
        if not message.message["amount"]
    ]


def test_maintenance_samples_every_queue(example_dag, run_dag, hook, query):
    hook.send("mail", 1, headers={"expires_at": "2026-01-01T00:00:00Z"})
    run = run_dag(example_dag("pgmq_maintenance"))

    assert run.xcom("maintain") == {
        "sampled": len(QUEUES),
        "expired": 1,
        "removed": 0,
        "overdue": 0,
        "skipped": {},
    }
