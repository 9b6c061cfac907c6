"""Jobs as they are stored, perhaps by other code."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from airflow_pgmq.core.jobs import PeriodicJob
from airflow_pgmq.errors import text_of

#: What a job that other code has stored may raise, when it is read or later, if this code cannot read it.
UNREADABLE = (AttributeError, KeyError, OverflowError, TypeError, ValueError)


def read(name: str, definition: Mapping[str, Any]) -> PeriodicJob:
    """A job as it was stored, to tick it; raises one of `UNREADABLE` if this code cannot."""
    job = PeriodicJob.from_definition(name, definition)
    if wrong := job.problems(max_bytes=None):
        raise ValueError("; ".join(wrong))
    return job


def replaced(name: str, definition: Mapping[str, Any], new: PeriodicJob) -> PeriodicJob | None:
    """A job as it was stored, to finish its work; None if this code cannot read what other code stored.

    Policies that were not stored, before migration 3, are taken from the job that replaces it.
    """
    policies = {
        "catch_up": new.catch_up,
        "catch_up_limit": new.catch_up_limit,
        "catch_up_max_age": new.catch_up_max_age.total_seconds(),
    }
    try:
        return read(name, {**policies, **definition})
    except UNREADABLE:
        return None


def unreadable(exc: Exception) -> str:
    """Why a stored job cannot be read, for people."""
    return f"{type(exc).__name__}: {text_of(exc)}"
