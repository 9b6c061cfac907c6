"""Ticks of jobs whose messages are rendered for each slot."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, datetime, timedelta, timezone
from typing import Any

import pytest

from airflow_pgmq.db.client import Client
from airflow_pgmq.errors import InvalidMessage
from airflow_pgmq.jobs import Calendar, PeriodicJob
from airflow_pgmq.services import calendars, job_control
from tests.fixtures.dollars import Dollars
from tests.fixtures.factories import NAMESPACE, execute, go_back, job, queued, slots_in, state, tick
from tests.fixtures.postgres import Database


def ticked(client: Client, *jobs: PeriodicJob, **options: Any) -> Any:
    return tick(*jobs, **{"look_ahead": 24, "renderer": Dollars(), **options}).run(client)


def templated(name: str = "job", **fields: Any) -> PeriodicJob:
    fields = {"message": {"at": "{{ $ts }}", "plain": 1}, "headers": {"day": "{{ $ds }}"}, **fields}
    return job(name, **fields)


def test_each_slot_has_its_own_message(client: Client, database: Database) -> None:
    assert ticked(client, templated(), job("plain")).failed == {}
    rows = [row for row in queued(database) if row["headers"]["job"] == "job"]
    assert len(rows) == 24
    for row in rows:
        slot = datetime.fromisoformat(row["headers"]["slot"].replace("Z", "+00:00"))
        assert row["message"] == {"at": slot.isoformat(), "plain": 1}
        assert row["headers"]["day"] == f"{slot:%Y-%m-%d}"


def test_a_backfill_and_a_retry_make_the_same_bytes(client: Client, database: Database) -> None:
    ticked(client, templated())
    before = [(row["message"], row["headers"]) for row in queued(database)]
    execute(database, "DELETE FROM pgmq.q_mail")
    execute(database, "DELETE FROM airflow_pgmq.slots")
    slots = [datetime.fromisoformat(headers["slot"].replace("Z", "+00:00")) for _, headers in before]
    tick(templated(), renderer=Dollars()).backfill(client, slots[0], slots[-1].replace(minute=1))
    assert [(row["message"], row["headers"]) for row in queued(database)] == before


def test_a_template_that_fails_for_one_slot_holds_up_its_job_only(client: Client, database: Database) -> None:
    """It waits there, and goes on with a template that works: nothing is lost."""
    broken = templated(message="{{ !5 }}")
    for _ in range(2):
        summary = ticked(client, broken, job("plain"))
        assert [*summary.failed] == ["job"]
        assert "'{{ !5 }}' fails for the slot" in summary.failed["job"][0]
        assert "ZeroDivisionError: five" in summary.failed["job"][0]
    assert len(slots_in(database, "plain")) == 24
    sent = slots_in(database)
    assert state(database)["next_slot"].hour == 5
    assert all(slot < state(database)["next_slot"] for slot in sent)
    assert ticked(client, templated(message="{{ $ts }}"), job("plain")).failed == {}
    assert slots_in(database) == slots_in(database, "plain")


def test_the_slot_is_sent_late_if_the_template_is_mended_late(client: Client, database: Database) -> None:
    broken = templated(cron="0 5 * * *", message="{{ !5 }}")
    ticked(client, broken)
    go_back(database, days=2)
    assert [*ticked(client, broken).failed] == ["job"]
    summary = ticked(client, templated(cron="0 5 * * *", message="{{ $ts }}"))
    assert summary.failed == {}
    assert len(slots_in(database)) == 3


def test_many_jobs_that_fail_do_not_go_round_forever(
    client: Client, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("airflow_pgmq.services.tick_rounds.JOBS", 2)
    jobs = [templated(f"job{n}", cron="0 5 * * *", message="{{ !5 }}") for n in range(5)]
    summary = ticked(client, *jobs, templated("good"))
    assert len(summary.failed) == 5
    assert len(slots_in(database, "good")) == 24


def test_run_now_renders_for_now(client: Client, database: Database) -> None:
    ticked(client, templated(), look_ahead=0.01)
    client.run(lambda: job_control.run_now(NAMESPACE, "job", renderer=Dollars()))
    (row,) = queued(database)
    assert row["message"]["at"].startswith(f"{row['enqueued_at']:%Y-%m-%d}")


def test_a_template_that_nothing_renders_is_not_sent_as_it_is(client: Client, database: Database) -> None:
    summary = tick(templated(), look_ahead=24).run(client)
    assert "nothing here renders them" in summary.failed["job"][0]
    assert queued(database) == []
    with pytest.raises(InvalidMessage, match="asks for nonsense"):
        tick(templated(message="{{ $nonsense }}"), renderer=Dollars()).backfill(
            client, datetime(2026, 1, 1).astimezone(), datetime(2026, 1, 2).astimezone()
        )


def test_a_deploy_whose_template_fails_too_loses_nothing(client: Client, database: Database) -> None:
    def daily(message: str) -> PeriodicJob:
        return templated(cron="0 5 * * *", message=message)

    ticked(client, daily("{{ !5 }}"))
    go_back(database, days=2)
    ticked(client, daily("{{ !5 }}"))
    for _ in range(2):
        assert [*ticked(client, daily("a {{ !5 }}"), templated("good")).failed] == ["job"]
    assert len(slots_in(database, "good")) == 24
    assert ticked(client, daily("{{ $ts }}"), templated("good")).failed == {}
    assert len(slots_in(database)) == 3


def test_slots_to_send_again_wait_with_their_job(client: Client, database: Database) -> None:
    """They are below the watermark, so only their rows know them."""
    good = templated(message="{{ $ts }}")
    ticked(client, good, look_ahead=0.01)
    client.run(lambda: job_control.pause(NAMESPACE, "job"))
    go_back(database, hours=24)
    client.run(lambda: job_control.resume(NAMESPACE, "job", "all"))
    broken = Broken()
    for _ in range(2):
        assert [*ticked(client, good, look_ahead=0.01, renderer=broken).failed] == ["job"]
    assert slots_in(database) == []
    assert ticked(client, good, look_ahead=0.01).failed == {}
    assert len(slots_in(database)) == 24


def test_a_deploy_of_many_jobs_that_fail_ends(
    client: Client, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("airflow_pgmq.services.tick_rounds.COMPUTED", 20)
    jobs = [templated(f"job{n}", message="{{ $ts }}") for n in range(5)]
    ticked(client, *jobs, look_ahead=0.01)
    go_back(database, hours=20)
    changed = [templated(f"job{n}", message="x {{ $ts }}") for n in range(5)]
    summary = ticked(client, *changed, job("good"), renderer=Broken())
    assert len(summary.failed) == 5
    assert len(slots_in(database, "good")) == 24
    assert ticked(client, *changed, job("good")).failed == {}
    assert {len(slots_in(database, f"job{n}")) for n in range(5)} == {44}


def test_a_calendar_and_the_interval_before(client: Client, database: Database) -> None:
    client.ensure_schema()
    client.run(lambda: calendars.put("bank", [date(2026, 1, 2)]))
    one = job(cron="0 0 * * *", exclude=[Calendar("bank")], message="{{ $interval_start }}")
    start = datetime(2026, 1, 1, tzinfo=timezone.utc)
    tick(one, renderer=Dollars()).backfill(client, start, start + timedelta(days=3))
    assert [row["message"] for row in queued(database)] == [
        "2025-12-31 00:00:00+00:00",
        "2026-01-01 00:00:00+00:00",
    ]
    assert ticked(client, one).failed == {}
    client.run(lambda: job_control.run_now(NAMESPACE, "job", renderer=Dollars()))


class Broken(Dollars):
    """Fails for every slot."""

    def render(self, values: Mapping[str, Any]) -> Any:
        raise ZeroDivisionError("broken")
