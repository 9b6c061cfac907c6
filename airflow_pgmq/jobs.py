"""Periodic jobs, as users import them: `from airflow_pgmq.jobs import PeriodicJob`."""

from __future__ import annotations

import os
from pathlib import Path

from airflow_pgmq.core.jobs import PeriodicJob
from airflow_pgmq.core.overdue import OverdueSlot
from airflow_pgmq.core.schedule.definitions import At, Cron, Every, RRule
from airflow_pgmq.core.schedule.excluding import Blackout, Calendar, Holidays
from airflow_pgmq.errors import InvalidArgument

__all__ = [
    "At",
    "Blackout",
    "Calendar",
    "Cron",
    "Every",
    "Holidays",
    "OverdueSlot",
    "PeriodicJob",
    "RRule",
    "jobs_from_yaml",
]


def jobs_from_yaml(path: str | os.PathLike[str]) -> list[PeriodicJob]:
    """The jobs of a file in YAML or JSON; docs/guides/live_jobs.md says what may be in it.

    :param path: in a Dag file, `Path(__file__).with_name("jobs.yaml")`: a relative path is relative to the
        working directory, which differs between Airflow's processes
    :raises InvalidArgument: there is no such file, or it is no list of jobs
    :raises InvalidJobs: with everything that is wrong with any of the jobs, and its line
    """
    # Most Dags have no such file, and need no reader for it.
    from airflow_pgmq.core import job_documents
    from airflow_pgmq.core.job_documents.yaml_values import MAX_BYTES

    file = Path(path)
    try:
        with file.open("rb") as opened:
            # What is larger is refused, and need not be read.
            text = opened.read(MAX_BYTES + 1).decode("utf-8-sig")
    except FileNotFoundError:
        raise InvalidArgument(
            f"There is no file {str(file.absolute())!r} of jobs. In a Dag file, use "
            f'Path(__file__).with_name("{file.name}").'
        ) from None
    except OSError as exc:
        raise InvalidArgument(f"The file {str(file)!r} of jobs cannot be read: {exc}.") from exc
    except UnicodeDecodeError as exc:
        line = exc.object.count(b"\n", 0, exc.start) + 1
        raise InvalidArgument(
            f"The jobs cannot be read: {file.name}:{line}: this is not UTF-8: save the file in that encoding."
        ) from None
    return job_documents.parse(text, file.name)
