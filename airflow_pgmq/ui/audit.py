"""Airflow's audit log: who did what to which messages or job; never the content of a message.

What a live job was and has become is there, without the values of `redact_keys`.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from airflow.models.log import Log
from airflow.utils.session import create_session

if TYPE_CHECKING:
    from airflow_pgmq.ui.auth import Requester

_log = logging.getLogger(__name__)

#: Characters that ids may take in a row: 1,000 consecutive ids are one range; scattered ids may be cut.
LONGEST = 2000


def note(requester: Requester, event: str, **details: Any) -> None:
    """Write a row. `event` is what Airflow's Audit Log page shows."""
    name = requester.user.get_name()
    extra = json.dumps({"connection": requester.connection_id, **details})
    try:
        with create_session() as session:
            session.add(Log(event=f"pgmq_{event}", owner=name, extra=extra))
    except Exception:
        # The action is done: if this raised, the user would think that the action failed.
        _log.warning("Not written to the audit log: %s did %s, %s", name, event, extra, exc_info=True)


def ranges(msg_ids: Sequence[int]) -> str:
    """Ascending ids as ranges, such as `1-4, 9`; if that is too long, its beginning and "and N more"."""
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
