"""The finished runs of the periodic Dag, from Airflow's API."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import httpx

from demo.api import Api

DAG_ID = "pgmq_periodic_jobs"
TASK_ID = "tick"
ENDED = ("success", "failed")


@dataclass(frozen=True)
class Tick:
    """One finished try of the periodic task."""

    run_id: str
    minute: datetime
    try_number: int
    state: str
    #: How long after its minute the task was running.
    started_late: timedelta
    ended: datetime
    #: What the operator returned: jobs, slots, sent, duplicates …
    summary: dict[str, Any]


class Ticks(threading.Thread):
    """Polls Airflow for new ticks until it is stopped."""

    def __init__(self, api: Api, show: Callable[[Tick], None]) -> None:
        super().__init__(name="ticks", daemon=True)
        self.finished: list[Tick] = []
        self._api = api
        self._show = show
        self._seen: set[tuple[str, str]] = set()
        self._ended = threading.Event()

    def stop(self) -> None:
        """Stop the thread, and wait for its end."""
        self._ended.set()
        self.join()

    def run(self) -> None:
        while not self._ended.wait(1):
            try:
                self._look()
            except httpx.HTTPError:
                # The server is busy: the next poll gets what this one missed.
                continue

    def _look(self) -> None:
        for run in reversed(self._api.runs(DAG_ID)):
            # A cleared run ends a second time.
            end = (run["dag_run_id"], run["end_date"])
            if run["state"] in ENDED and end not in self._seen and (tick := self._tick(run)):
                self._seen.add(end)
                self.finished.append(tick)
                self._show(tick)

    def _tick(self, run: dict[str, Any]) -> Tick | None:
        run_id, ok = run["dag_run_id"], run["state"] == "success"
        task = self._api.task(DAG_ID, run_id, TASK_ID)
        if task["state"] not in ENDED:
            # Cleared since we asked for the run.
            return None
        return Tick(
            run_id=run_id,
            minute=instant(run["run_after"]),
            try_number=task["try_number"],
            state=run["state"],
            started_late=instant(task["start_date"] or task["end_date"]) - instant(run["run_after"]),
            ended=instant(task["end_date"]),
            summary=self._api.xcom(DAG_ID, run_id, TASK_ID) if ok else {},
        )


def instant(text: str) -> datetime:
    """Parse a time in the form of the API."""
    return datetime.fromisoformat(text.replace("Z", "+00:00"))
