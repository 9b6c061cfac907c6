"""Errors as values: what they say survives the way to another process."""

from __future__ import annotations

import pickle

import pytest

from airflow_pgmq import errors

ERRORS = [
    errors.InvalidJobs({"job": ["no cron"]}),
    errors.MessagesFailed("mail", {"failed": 1, "read": 2}),
    errors.MessageLost("mail", [1]),
    errors.DuplicateMessage("mail", ["a"]),
    errors.QueueNotFound("mail"),
    errors.ConnectionNotFound("mail", is_plain=True),
    errors.JobNotFound("shop", "job"),
    errors.PermissionDenied("no"),
]


@pytest.mark.parametrize("error", ERRORS, ids=lambda each: type(each).__name__)
def test_an_error_is_pickled_whole(error: errors.PgmqError) -> None:
    copy = pickle.loads(pickle.dumps(error))
    assert (type(copy), str(copy), vars(copy)) == (type(error), str(error), vars(error))
