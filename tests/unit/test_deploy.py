"""What a new set of jobs changes in the stored one, and what it must not change."""

from __future__ import annotations

from dataclasses import replace

import pytest

from airflow_pgmq.core.deploys import Deploy, Stored, deploy
from airflow_pgmq.core.jobs import PeriodicJob
from tests.unit.support import utc

REPORT = PeriodicJob(name="report", cron="0 7 * * *", queue_name="mail")
DIGEST = PeriodicJob(name="digest", cron="0 8 * * *", queue_name="mail")


def stored(job: PeriodicJob) -> Stored:
    """The job as an earlier deploy left it."""
    return Stored(
        name=job.name,
        version=job.version,
        fingerprint=job.fingerprint,
        queue_name=job.queue_name,
        watermark=utc("2026-06-01 12:00"),
        next_slot=None,
        paused=False,
    )


def change(
    declared: list[PeriodicJob], known: list[PeriodicJob], *, version: int = 0, stored_version: int = 0
) -> Deploy:
    return deploy(
        {job.name: job for job in declared},
        {job.name: stored(job) for job in known},
        version=version,
        stored_version=stored_version,
    )


def test_the_first_deploy_adds_all():
    assert change([REPORT, DIGEST], []) == Deploy(added=(REPORT, DIGEST))


def test_the_same_set_changes_nothing():
    assert change([REPORT, DIGEST], [DIGEST, REPORT]) == Deploy()


def test_added_changed_and_removed_jobs_are_told_apart():
    late = replace(REPORT, cron="0 9 * * *")
    fresh = replace(REPORT, name="fresh")
    kept = replace(REPORT, name="kept")
    assert change([late, fresh, kept], [REPORT, DIGEST, kept]) == Deploy(
        added=(fresh,), changed=(late,), removed=("digest",)
    )


def test_an_empty_set_removes_all():
    assert change([], [REPORT, DIGEST]) == Deploy(removed=("report", "digest"))


def test_another_queue_is_a_change():
    moved = replace(REPORT, queue_name="post")
    assert change([moved], [REPORT]).changed == (moved,)


def test_another_policy_for_missed_slots_is_a_change():
    lazy = replace(REPORT, catch_up="none")
    assert change([lazy], [REPORT]) == Deploy(changed=(lazy,))


# Versions of a job.


def test_a_job_of_a_higher_version_takes_over():
    newer = replace(REPORT, version=2)
    assert change([newer], [replace(REPORT, version=1)]).changed == (newer,)


def test_a_job_of_the_same_version_takes_over_when_it_differs():
    other = replace(REPORT, version=1, cron="0 9 * * *")
    assert change([other], [replace(REPORT, version=1)]).changed == (other,)


def test_a_job_of_a_lower_version_is_left_alone():
    older = replace(REPORT, version=1, cron="0 9 * * *")
    assert change([older], [replace(REPORT, version=2)]) == Deploy(outdated=frozenset({"report"}))


def test_an_outdated_job_holds_no_other_job_back():
    late = replace(DIGEST, cron="0 9 * * *")
    fresh = replace(REPORT, name="fresh")
    found = change(
        [replace(REPORT, version=1), late, fresh],
        [replace(REPORT, version=2), DIGEST, replace(REPORT, name="gone")],
    )
    assert found == Deploy(added=(fresh,), changed=(late,), removed=("gone",), outdated=frozenset({"report"}))


# Versions of the set.


def test_a_set_of_a_lower_version_undoes_nothing():
    late = replace(REPORT, cron="0 9 * * *")
    fresh = replace(REPORT, name="fresh")
    found = change([late, fresh], [REPORT, DIGEST], version=1, stored_version=2)
    assert found == Deploy(outdated=frozenset({"report", "digest", "fresh"}))


def test_a_set_of_a_lower_version_still_ticks_what_both_versions_share():
    shared = replace(REPORT, name="shared")
    found = change([shared, REPORT], [shared, replace(REPORT, version=2)], version=1, stored_version=2)
    assert found == Deploy(outdated=frozenset({"report"}))


@pytest.mark.parametrize("version", [2, 3])
def test_a_set_of_the_same_or_a_higher_version_takes_over(version):
    late = replace(REPORT, cron="0 9 * * *")
    found = change([late], [REPORT, DIGEST], version=version, stored_version=2)
    assert found == Deploy(changed=(late,), removed=("digest",))


def test_a_higher_set_does_not_overrule_the_version_of_a_job():
    older = replace(REPORT, version=1)
    found = change([older], [replace(REPORT, version=2)], version=9, stored_version=2)
    assert found == Deploy(outdated=frozenset({"report"}))


def test_two_versions_that_tick_in_turns_settle_on_the_higher_one():
    old = {"report": replace(REPORT, version=1), "old": replace(REPORT, name="old", version=1)}
    new = {"report": replace(REPORT, version=2), "new": replace(REPORT, name="new", version=2)}
    known = {name: stored(job) for name, job in old.items()}
    version = 1
    for declared, own in [(new, 2), (old, 1), (new, 2), (old, 1)]:
        found = deploy(declared, known, version=own, stored_version=version)
        known |= {job.name: stored(job) for job in (*found.added, *found.changed)}
        known = {name: each for name, each in known.items() if name not in found.removed}
        version = max(version, own)
        assert {name: each.fingerprint for name, each in known.items()} == {
            name: job.fingerprint for name, job in new.items()
        }
