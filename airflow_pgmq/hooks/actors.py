"""Who acts: for what is kept about a change."""

from __future__ import annotations

import getpass
import os


def current() -> str:
    """The task, or the user of this process."""
    task = [os.environ.get(f"AIRFLOW_CTX_{part}_ID") for part in ("DAG", "TASK")]
    if all(task):
        return ".".join(filter(None, task))
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        # A container may run as a user without a name.
        return f"user {os.getuid()}"
