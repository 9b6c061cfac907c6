"""The examples of docs/migrating/: what goes in, and the job that comes out."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest

from airflow_pgmq.core.importing import celery_beat, crontab, pg_cron, sidekiq_cron
from airflow_pgmq.core.importing.imported import Imported
from tests.unit.support import ROOT

PAGES = {page.stem: page.read_text(encoding="utf-8") for page in (ROOT / "docs" / "migrating").glob("*.md")}


def rows(text: str) -> list[dict[str, Any]]:
    """A table as psql prints it."""
    names, *lines = ([each.strip() for each in line.split("|")] for line in text.splitlines())
    return [dict(zip(names, line, strict=True)) for line in lines]


READERS: dict[str, Callable[..., Imported]] = {
    "crontab": crontab.read,
    "pg_cron": lambda text, **more: pg_cron.read(rows(text), **more),
    "sidekiq-cron": sidekiq_cron.read,
    "celery-beat": celery_beat.read,
}


def test_each_page_is_checked() -> None:
    assert {name for name, text in PAGES.items() if f"--from {name}" in text} == set(READERS)


@pytest.mark.parametrize("name", READERS)
def test_the_example_becomes_its_job(name: str) -> None:
    (given,) = re.findall(r"```text\n(.*?)```", PAGES[name], re.S)
    code, *_ = re.findall(r"```python\n(.*?)```", PAGES[name], re.S)
    values: dict[str, Any] = {}
    exec(code, values)
    found = READERS[name](given, queue_name="imported")
    assert found.refused == ()
    assert list(found.jobs) == [values["job"]]
