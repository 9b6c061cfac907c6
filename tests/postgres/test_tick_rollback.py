"""A lower version takes over where the higher one has gone silent, if the versions are the jobs' own."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from tests.fixtures.factories import execute, job, queued, tick


def silent(database: Any) -> None:
    execute(database, "UPDATE airflow_pgmq.namespaces SET version_ticked_at = now() - interval '6 minutes'")


def test_a_deleted_job_of_the_highest_version_goes_after_the_silence(database: Any, client: Any) -> None:
    tick(job("kept"), job("deleted", version=2), version=2).run(client)
    after = replace(tick(job("kept"), version=0), rollback=True)
    assert after.run(client).outdated == 1
    silent(database)
    summary = after.run(client)
    assert (summary.outdated, summary.withdrawn) == (0, 10)
    assert {row["headers"]["job"] for row in queued(database)} == {"kept"}


def test_ticks_of_the_lower_version_do_not_break_the_silence(database: Any, client: Any) -> None:
    tick(job("a", message="new", version=2), version=2).run(client)
    back = replace(tick(job("a", message="old", version=1), version=1), rollback=True)
    silent(database)
    assert back.run(client).outdated == 0
    assert {row["message"] for row in queued(database)} == {"old"}


def test_a_pinned_version_never_takes_over(database: Any, client: Any) -> None:
    tick(job("a", message="new"), version=2).run(client)
    silent(database)
    assert tick(job("a", message="old"), version=1).run(client).outdated == 1
    assert {row["message"] for row in queued(database)} == {"new"}
