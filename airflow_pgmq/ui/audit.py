"""Airflow's audit log: who did what to which queue or job, and never what a message held."""

from __future__ import annotations

import json
import logging
from typing import Any

from airflow.models.log import Log
from airflow.utils.session import create_session

_log = logging.getLogger(__name__)


def note(user: Any, event: str, **details: Any) -> None:
    """Write a row; `event` as Airflow's Audit Log page shows it."""
    try:
        with create_session() as session:
            session.add(Log(event=f"pgmq_{event}", owner=user.get_name(), extra=json.dumps(details)))
    except Exception:
        # It is done by now: an error as the answer would be taken for the action's.
        _log.warning(
            "The audit log lacks: %s did %s, %s", user.get_name(), event, json.dumps(details), exc_info=True
        )
