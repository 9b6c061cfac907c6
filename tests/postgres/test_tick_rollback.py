"""A lower version takes over where the higher one has gone silent, if the versions are the jobs' own."""

from __future__ import annotations

import pytest

from tests.fixtures.factories import execute, job, queued, tick


def silent(database, minutes=6):
    """Make it look as if the highest version has not ticked for this long."""
    execute(
        database,
        "UPDATE airflow_pgmq.namespaces"
        " SET version_ticked_at = version_ticked_at - make_interval(mins => %s)",
        [minutes],
    )


def messages(database):
    return {row["headers"]["job"]: row["message"] for row in queued(database)}


NEW = tick(job("changed", message="new"), job("added", message="new"), version=2, rollback=True)
OLD = tick(job("changed", message="old"), job("removed", message="old"), version=1, rollback=True)


def test_older_set_takes_over_after_the_silence(database, client):
    NEW.run(client)
    silent(database)

    summary = OLD.run(client)

    assert (summary.taken_back, summary.outdated) == (20, 0)
    assert messages(database) == {"changed": "old", "removed": "old"}
    assert OLD.run(client).taken_back == 0


def test_newer_set_may_come_back(database, client):
    NEW.run(client)
    silent(database)
    OLD.run(client)

    assert NEW.run(client).taken_back == 20
    assert messages(database) == {"changed": "new", "added": "new"}


@pytest.mark.parametrize(
    ("minutes", "rollback"), [(4, True), (6, False)], ids=["too early", "pinned version"]
)
def test_older_set_does_not_take_over(database, client, minutes, rollback):
    NEW.run(client)
    silent(database, minutes)

    summary = tick(*OLD.jobs, version=1, rollback=rollback).run(client)

    assert (summary.taken_back, summary.sent, summary.outdated) == (0, 0, 3)
    assert messages(database) == {"changed": "new", "added": "new"}


def test_ticks_of_the_older_set_do_not_break_the_silence(database, client):
    NEW.run(client)
    silent(database, 4)
    OLD.run(client)
    silent(database, 2)

    assert OLD.run(client).taken_back == 20


def test_ticks_of_the_newer_set_break_the_silence(database, client):
    NEW.run(client)
    silent(database, 6)
    NEW.run(client)

    assert OLD.run(client).taken_back == 0


def test_deleted_job_of_the_highest_version_goes_after_the_silence(database, client):
    """The set's version is that of its jobs, so without this one it is lower."""
    tick(job("kept"), job("deleted", version=2), rollback=True).run(client)
    after = tick(job("kept"), rollback=True)
    assert after.run(client).outdated == 1
    silent(database)

    summary = after.run(client)

    assert (summary.outdated, summary.taken_back) == (0, 10)
    assert messages(database).keys() == {"kept"}
