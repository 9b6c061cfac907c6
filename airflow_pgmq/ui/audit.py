"""Airflow's audit log: who did what to which queue or job, and never what a message held."""

from __future__ import annotations

import json
from typing import Any

from airflow.models.log import Log
from airflow.utils.session import create_session


def note(user: Any, event: str, **details: Any) -> None:
    """Write a row; `event` as Airflow's Audit Log page shows it."""
    with create_session() as session:
        session.add(Log(event=f"pgmq_{event}", owner=user.get_name(), extra=json.dumps(details)))
