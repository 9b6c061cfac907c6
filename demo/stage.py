"""What the claims look at: one Airflow, one hook, the two watchers, and how to wait for something in them."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeVar

from psycopg.abc import Query
from psycopg.rows import tuple_row

from demo.api import Api
from demo.arrivals import Reader
from demo.screen import Step
from demo.standalone import Standalone
from demo.ticks import Ticks

if TYPE_CHECKING:
    from airflow_pgmq.hooks import PgmqHook

T = TypeVar("T")


class ClaimError(Exception):
    """A claim does not hold; the message says what was measured instead."""


@dataclass
class Stage:
    """Everything that runs, and the step that is being shown."""

    standalone: Standalone
    api: Api
    hook: PgmqHook
    reader: Reader
    ticks: Ticks
    #: No wait goes on after this instant of the monotonic clock.
    deadline: float
    step: Step = field(default_factory=lambda: Step(""))

    def wait_for(self, what: str, look: Callable[[], T | None], seconds: float = 90) -> T:
        """Look again and again until there is something; a part that died ends the wait."""
        self.step.figure = f"waiting for {what} …"
        began = time.monotonic()
        deadline = min(began + seconds, self.deadline)
        while not (found := look()):
            self.standalone.check()
            if self.reader.error:
                raise ClaimError(f"the reader failed: {self.reader.error!r}") from self.reader.error
            if time.monotonic() > deadline:
                raise ClaimError(f"waited {time.monotonic() - began:.0f} s in vain for {what}")
            time.sleep(0.5)
        return found

    def finished(self, dag_id: str, run_id: str, task_id: str, try_number: int) -> Any:
        """Wait until a try has succeeded; returns its result."""

        def look() -> dict[str, Any] | None:
            task = self.api.task(dag_id, run_id, task_id)
            if task["try_number"] == try_number and task["state"] == "failed":
                log = "\n".join(self.api.log(dag_id, run_id, task_id, try_number)[-10:])
                raise ClaimError(f"{dag_id}.{task_id} failed in try {try_number}:\n{log}")
            return task if task["try_number"] == try_number and task["state"] == "success" else None

        self.wait_for(f"try {try_number} of {dag_id}.{task_id}", look)
        return self.api.xcom(dag_id, run_id, task_id)

    def query(self, statement: Query, **values: Any) -> list[tuple[Any, ...]]:
        """Ask the queues' database directly, as a witness that is not the provider."""
        with self.hook.get_conn() as connection:
            return connection.cursor(row_factory=tuple_row).execute(statement, values).fetchall()
