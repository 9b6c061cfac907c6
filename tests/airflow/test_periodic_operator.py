"""`PgmqPeriodicOperator`: ticks in real Dag runs, backfill runs, errors at Dag parse."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from types import SimpleNamespace
from typing import Any

import pendulum
import pytest
from airflow.sdk import DAG
from airflow.timetables.base import TimeRestriction
from airflow.timetables.trigger import CronTriggerTimetable

from airflow_pgmq.core import slots
from airflow_pgmq.errors import InvalidArgument, InvalidJobs, NamespaceTaken, PgmqWarning
from airflow_pgmq.hooks import PgmqHook
from airflow_pgmq.jobs import PeriodicJob
from airflow_pgmq.operators import PgmqPeriodicOperator
from airflow_pgmq.operators.periodic import _interval
from tests.fixtures.airflow import FinishedRun

JOBS = [
    PeriodicJob(
        name="minute", cron="* * * * *", queue_name="q", message={"do": "it"}, ttl=timedelta(hours=1)
    ),
    PeriodicJob(name="ten_seconds", cron="* * * * * */10", queue_name="q"),
]
#: For backfills: what would be sent expired is not sent.
LASTING = [replace(job, ttl=None) for job in JOBS]


@pytest.fixture
def hook(pgmq_connection: str) -> PgmqHook:
    hook = PgmqHook()
    hook.create_queue("q")
    return hook


def queued(hook: PgmqHook) -> list[dict[str, Any]]:
    with hook.get_conn() as conn:
        rows = conn.execute("SELECT vt, headers FROM pgmq.q_q ORDER BY vt, msg_id").fetchall()
    return [{"vt": vt, **headers} for vt, headers in rows]


def test_a_tick_and_its_repetition(hook: PgmqHook, run_dag: Callable[..., FinishedRun]) -> None:
    with DAG("ticking", schedule=None) as dag:
        PgmqPeriodicOperator(task_id="tick", jobs=JOBS, look_ahead=timedelta(minutes=2))
    first = run_dag(dag)
    assert first.state == "success"
    summary = first.xcom("tick")
    # Two minutes hold 2 slots of a minutely and 12 of a ten-second job.
    assert summary["jobs"] == 2
    assert summary["sent"] == summary["slots"] == len(queued(hook)) == 14
    assert (summary["duplicates"], summary["late"], summary["taken_back"]) == (0, 0, 0)
    for message in queued(hook):
        assert slots.text(message["vt"]) == message["slot"]
        assert message["dedup_key"] == f"ticking/{message['job']}/{message['slot']}"
        assert message["source"]["task_id"] == "tick"
    run_dag(dag)
    keys = [message["dedup_key"] for message in queued(hook)]
    assert len(keys) == len(set(keys))


def test_a_backfill_run_enqueues_its_interval_once(hook: PgmqHook) -> None:
    end = datetime(2026, 11, 20, 12, 10, tzinfo=timezone.utc)
    operator = PgmqPeriodicOperator(task_id="tick", jobs=LASTING[:1], namespace="past")
    result = operator.execute(backfill_context(end - timedelta(minutes=5), end))
    assert (result["sent"], result["late"]) == (5, 5)
    assert [message["slot"] for message in queued(hook)] == [
        f"2026-11-20T12:{minute:02}:00Z" for minute in range(5, 10)
    ]
    again = operator.execute(backfill_context(end - timedelta(minutes=6), end))
    assert (again["sent"], again["duplicates"]) == (1, 5)
    assert hook.list_jobs("past") == []


def test_a_backfill_counts_what_has_expired(hook: PgmqHook) -> None:
    end = datetime(2026, 11, 20, 12, 10, tzinfo=timezone.utc)
    operator = PgmqPeriodicOperator(task_id="tick", jobs=JOBS[:1], namespace="past")
    result = operator.execute(backfill_context(end - timedelta(minutes=5), end))
    assert (result["slots"], result["sent"], result["expired"]) == (5, 0, 5)
    assert queued(hook) == []


def test_a_backfill_of_a_plain_cron_covers_the_time_since_the_run_before(hook: PgmqHook) -> None:
    at = datetime(2026, 11, 20, 12, 10, tzinfo=timezone.utc)
    operator = PgmqPeriodicOperator(task_id="tick", jobs=LASTING, namespace="past")
    assert operator.execute(backfill_context(at, at, schedule="* * * * *"))["sent"] == 1 + 6


@pytest.mark.parametrize(
    ("zone", "hour"),
    [("Asia/Kolkata", "12:30"), ("Asia/Kathmandu", "12:15"), ("Australia/Lord_Howe", "12:00")],
)
def test_a_backfill_of_a_plain_cron_covers_the_whole_hour_of_the_dags_own_zone(
    hook: PgmqHook, zone: str, hour: str
) -> None:
    """An hour of these zones starts within an hour of UTC."""
    at = datetime.fromisoformat(f"2026-11-20T{hour}:00+00:00")
    operator = PgmqPeriodicOperator(task_id="tick", jobs=LASTING[:1], namespace="past")
    assert operator.execute(backfill_context(at, at, schedule="0 * * * *", zone=zone))["sent"] == 60


@pytest.mark.parametrize(
    ("cron", "days"),
    [
        ("0 * * * *", 1),
        ("*/30 * * * *", 1),
        ("30 2 * * *", 3),
        ("*/20 1-3 * * *", 2),
        ("0 */2 * * *", 1),
        ("@daily", 3),
        ("15 1 * * sun", 8),
    ],
)
@pytest.mark.parametrize(
    ("zone", "changes"),
    [
        ("Asia/Kolkata", ["2026-03-01"]),
        ("Asia/Kathmandu", ["2026-03-01"]),
        ("Australia/Lord_Howe", ["2026-04-05", "2026-10-04"]),
        ("Europe/Berlin", ["2026-03-29", "2026-10-25"]),
        ("America/Havana", ["2026-03-08", "2026-11-01"]),
    ],
)
def test_backfill_runs_of_a_plain_cron_leave_no_time_between_them(
    cron: str, days: int, zone: str, changes: list[str]
) -> None:
    """They may overlap where clocks change, as Airflow's runs are not where our slots are then."""
    timetable = CronTriggerTimetable(cron, timezone=zone)
    for change in changes:
        at = pendulum.parse(change, tz=zone)
        dag = DAG("d", schedule=cron, start_date=at.subtract(days=days))
        bounds = TimeRestriction(dag.start_date, at.add(days=days + 1), catchup=True)
        covered = last = None
        while info := timetable.next_dagrun_info(last_automated_data_interval=last, restriction=bounds):
            last = info.data_interval
            begin, end = _interval({"dag_run": backfill_run(last.start, last.end), "dag": dag})
            assert end == info.run_after
            assert begin < end
            assert covered is None or begin <= covered
            covered = end
        assert covered is not None


@pytest.mark.parametrize("schedule", [None, "@once", "@continuous", timedelta(hours=1)])
def test_a_backfill_of_a_schedule_that_is_no_cron_says_how_to_have_an_interval(schedule: Any) -> None:
    at = datetime(2026, 11, 20, 12, 10, tzinfo=timezone.utc)
    with pytest.raises(InvalidArgument, match="CronTriggerTimetable"):
        _interval(backfill_context(at, at, schedule=schedule))


def backfill_run(start: datetime, end: datetime) -> Any:
    return SimpleNamespace(
        run_type="backfill", data_interval_start=start, data_interval_end=end, logical_date=end
    )


def backfill_context(start: datetime, end: datetime, schedule: Any = None, zone: str = "UTC") -> Any:
    ti = SimpleNamespace(dag_id="d", task_id="tick", run_id="backfill__1", map_index=-1)
    dag = SimpleNamespace(schedule=schedule, timezone=pendulum.timezone(zone))
    return {"dag_run": backfill_run(start, end), "ti": ti, "dag": dag}


@pytest.mark.parametrize("wrong", [timedelta(seconds=-1), timedelta.max, 600])
@pytest.mark.parametrize("name", ["look_ahead", "grace", "dedup_window"])
def test_a_duration_that_cannot_be_is_refused_at_dag_parse(name: str, wrong: Any) -> None:
    with pytest.raises(InvalidArgument, match=f"{name} must be a timedelta"):
        PgmqPeriodicOperator(task_id="tick", jobs=[], **{name: wrong})


def test_all_problems_of_all_jobs_show_at_dag_parse() -> None:
    with pytest.raises(InvalidJobs) as caught:
        PgmqPeriodicOperator(
            task_id="tick",
            jobs=[
                PeriodicJob(name="a", cron="61 * * * *", queue_name="q", timezone="Mars/Olympus"),
                PeriodicJob(name="b", cron="* * * * *", queue_name="q", message=float("nan")),
                PeriodicJob(name="b", cron="* * * * *", queue_name="q"),
            ],
        )
    assert set(caught.value.problems) == {"a", "b"}
    assert len(caught.value.problems["a"]) == 2
    assert "NaN" in str(caught.value) or "nan" in str(caught.value)


def test_a_cron_that_looks_as_if_its_seconds_came_first_is_warned_of_at_dag_parse() -> None:
    job = PeriodicJob(name="quartz", cron="0 0 6 * * 1-5", queue_name="q")
    with pytest.warns(PgmqWarning, match=r"job 'quartz': cron '0 0 6 \* \* 1-5' makes sense") as caught:
        PgmqPeriodicOperator(task_id="tick", jobs=[job, *JOBS])
    assert [warning.filename for warning in caught] == [__file__]

    PgmqPeriodicOperator(task_id="first", jobs=[replace(job, seconds="first")])
    PgmqPeriodicOperator(task_id="last", jobs=[replace(job, seconds="last")])


def test_missing_queues_are_named_with_their_jobs_once_the_others_are_sent(hook: PgmqHook) -> None:
    jobs = [*JOBS, PeriodicJob(name="lost", cron="* * * * *", queue_name="nowhere")]
    operator = PgmqPeriodicOperator(task_id="tick", jobs=jobs, namespace="n")
    with pytest.raises(InvalidJobs, match=r"lost: queue 'nowhere' does not exist"):
        operator.execute(scheduled_context())
    assert len(queued(hook)) > 0


def test_its_log_says_which_job_a_dead_letter_has_paused(
    hook: PgmqHook, run_dag: Callable[..., FinishedRun], caplog: Any, capsys: Any
) -> None:
    hook.create_queue("q_dlq")
    job = PeriodicJob(name="careful", cron="* * * * * *", queue_name="q", pause_on_dead_letter=True)
    with DAG("careful", schedule=None) as dag:
        PgmqPeriodicOperator(task_id="tick", jobs=[job], look_ahead=timedelta(seconds=5))
    assert run_dag(dag).xcom("tick")["paused"] == 0
    first = queued(hook)[0]["slot"]
    with hook.get_conn() as conn:
        conn.execute(
            "INSERT INTO pgmq.q_q_dlq (vt, message, headers)"
            " SELECT vt, message, headers FROM pgmq.q_q ORDER BY msg_id LIMIT 1"
        )
    assert run_dag(dag).xcom("tick")["paused"] == 1
    said = caplog.text + capsys.readouterr().out
    assert "Job careful/careful is paused until somebody resumes it: the message of slot" in said
    assert first in said


def test_two_tasks_must_not_tick_one_namespace(hook: PgmqHook) -> None:
    PgmqPeriodicOperator(task_id="one", jobs=LASTING, namespace="n").execute(scheduled_context())
    with pytest.raises(NamespaceTaken, match="another namespace="):
        PgmqPeriodicOperator(task_id="two", jobs=LASTING, namespace="n").execute(scheduled_context())


def scheduled_context() -> Any:
    ti = SimpleNamespace(dag_id="d", task_id="tick", run_id="scheduled__1", map_index=-1)
    return {"dag_run": SimpleNamespace(run_type="scheduled"), "ti": ti}
