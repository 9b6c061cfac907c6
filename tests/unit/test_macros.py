"""The part of a dedup key that identifies a run."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from types import SimpleNamespace
from typing import Any

import pytest

from airflow_pgmq.macros import run_key

SEVEN = datetime(2026, 11, 27, 7, tzinfo=timezone.utc)
SLOT = "scheduled__2026-11-27T07:00:00+00:00"


def run(run_id: str, logical_date: datetime | None = None, **values: Any) -> Any:
    """A run whose id says what it is, unless its type is given."""
    kind = run_id.partition("__")[0]
    kind = kind if kind in ("scheduled", "backfill") else "manual"
    return SimpleNamespace(**{"run_type": kind, "run_id": run_id, "logical_date": logical_date, **values})


def test_a_run_that_took_the_id_of_a_slot_does_not_take_its_key():
    """Airflow lets a Dag that triggers another one choose the id."""
    assert run_key(run(SLOT, SEVEN, run_type="operator_triggered")) == f"run__{SLOT}"


@pytest.mark.parametrize("logical_date", [SEVEN, SEVEN.astimezone(timezone(timedelta(hours=5, minutes=30)))])
@pytest.mark.parametrize("run_id", [SLOT, "backfill__2026-11-27T07:00:00+00:00", "scheduled__of_a_timetable"])
def test_runs_of_the_same_slot_have_the_same_key(run_id: str, logical_date: datetime):
    assert run_key(run(run_id, logical_date)) == SLOT


@pytest.mark.parametrize(
    "run_id",
    [
        "manual__2026-11-27T07:00:00+00:00",
        "asset_triggered__2026-11-27T07:00:00+00:00_x",
        "operator_triggered__x",
        "by hand",
        "backfill",
        "a__scheduled__b",
    ],
)
@pytest.mark.parametrize("logical_date", [SEVEN, None])
def test_every_other_run_has_a_key_of_its_own(run_id: str, logical_date: datetime | None):
    assert run_key(run(run_id, logical_date, partition_key="2026-11-27")) == run_id


def test_a_run_that_a_backfill_repeats_keeps_its_key():
    """Airflow changes its `run_type` then, and nothing else."""
    assert run_key(run("manual__x", SEVEN, run_type="backfill")) == "manual__x"


@pytest.mark.parametrize("kind", ["scheduled", "backfill"])
def test_a_partition_is_a_slot(kind: str):
    """Each of its runs has a random part in its id, and no logical date."""
    assert run_key(run(f"{kind}__2026__eu__Xy1", partition_key="eu")) == "scheduled__eu"


def test_a_scheduled_run_of_which_nothing_is_known_is_itself():
    assert run_key(run("scheduled__x", partition_key=None)) == run_key(run("scheduled__x")) == "scheduled__x"
