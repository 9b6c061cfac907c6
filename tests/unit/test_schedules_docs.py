"""What docs/guides/schedules.md says of schedules is what they do."""

from __future__ import annotations

import re
from datetime import datetime, timezone
from itertools import islice
from typing import Any
from zoneinfo import ZoneInfo

import pytest

import airflow_pgmq.jobs
from airflow_pgmq.core.jobs import PeriodicJob
from tests.unit import calendar_picture
from tests.unit.support import ROOT

PAGE = ROOT / "docs" / "guides" / "schedules.md"
BERLIN = ZoneInfo("Europe/Berlin")
_ROW = re.compile(r"^\| ([^|`]+) \| `(schedule=[^`]+)` \| (.*) \|$", re.M)
RECIPES = _ROW.findall(PAGE.read_text(encoding="utf-8"))


def job_of(code: str) -> PeriodicJob:
    names: dict[str, Any] = {name: getattr(airflow_pgmq.jobs, name) for name in airflow_pgmq.jobs.__all__}
    exec("from datetime import date, datetime, timedelta", names)
    job: PeriodicJob = eval(
        f"PeriodicJob(name='nightly', queue_name='q', timezone='Europe/Berlin', {code})", names
    )
    assert job.problems() == []
    return job


def slots_of(code: str) -> str:
    start = datetime(2026, 12, 1, tzinfo=BERLIN).astimezone(timezone.utc)
    found = [slot.astimezone(BERLIN) for slot in islice(job_of(code).slots.after(start), 4)]
    return ", ".join(f"{slot:%a} {slot.day} {slot:%b %H:%M}" for slot in found) + (
        ", …" if len(found) == 4 else ""
    )


def test_the_page_has_its_recipes() -> None:
    assert len(RECIPES) >= 12


@pytest.mark.parametrize(("goal", "code", "says"), RECIPES, ids=[goal for goal, *_ in RECIPES])
def test_a_recipe_has_the_slots_that_the_page_says(goal: str, code: str, says: str) -> None:
    assert says == slots_of(code)


def test_the_picture_shows_what_the_schedules_do() -> None:
    """After a change: `python -m tests.unit.calendar_picture`."""
    assert calendar_picture.FILE.read_text(encoding="utf-8") == calendar_picture.drawn()
