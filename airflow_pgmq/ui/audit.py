"""Airflow's audit log: who did what to which messages or job, and never what a message held."""

from __future__ import annotations

import json
import logging
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from airflow.models.log import Log
from airflow.utils.session import create_session

if TYPE_CHECKING:
    from airflow_pgmq.ui.auth import Asker

_log = logging.getLogger(__name__)

#: Characters of a row that ids may take: a thousand in a row are one range, scattered ones may be cut.
LONGEST = 2000


def note(asker: Asker, event: str, **details: Any) -> None:
    """Write a row; `event` as Airflow's Audit Log page shows it."""
    name = asker.user.get_name()
    extra = json.dumps({"connection": asker.connection_id, **details})
    try:
        with create_session() as session:
            session.add(Log(event=f"pgmq_{event}", owner=name, extra=extra))
    except Exception:
        # It is done by now: an error as the answer would be taken for the action's.
        _log.warning("The audit log lacks: %s did %s, %s", name, event, extra, exc_info=True)


def ranges(msg_ids: Sequence[int]) -> str:
    """Ascending ids, in short: `1-4, 9`, and how many more where that would be too long."""
    runs: list[list[int]] = []
    for each in msg_ids:
        if runs and each == runs[-1][1] + 1:
            runs[-1][1] = each
        else:
            runs.append([each, each])
    text = ""
    for count, (first, last) in enumerate(runs):
        run = str(first) if first == last else f"{first}-{last}"
        if len(text) + len(run) > LONGEST:
            left = sum(end - start + 1 for start, end in runs[count:])
            return f"{text} and {left} more"
        text += f"{', ' if text else ''}{run}"
    return text
