"""What the checks use: one Airflow, one hook, the two observers, and how to wait for something in them."""

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
from demo.ticks import Tick, Ticks

if TYPE_CHECKING:
    from airflow_pgmq.hooks import PgmqHook

T = TypeVar("T")


class CheckFailed(Exception):
    """A check failed; the message says what was measured instead."""


@dataclass
class Stage:
    """Everything that runs, and the step that is being shown."""

    standalone: Standalone
    api: Api
    hook: PgmqHook
    reader: Reader
    ticks: Ticks
    #: Every wait ends at this instant of the monotonic clock.
    deadline: float
    step: Step = field(default_factory=lambda: Step(""))

    def wait_for(self, what: str, look: Callable[[], T | None], seconds: float = 90) -> T:
        """Poll until there is a result; raises if a part of the demo has died."""
        self.step.figure = f"waiting for {what} …"
        began = time.monotonic()
        deadline = min(began + seconds, self.deadline)
        while not (found := look()):
            self.standalone.check()
            if self.reader.error:
                raise CheckFailed(f"the reader failed: {self.reader.error!r}") from self.reader.error
            if time.monotonic() > deadline:
                raise CheckFailed(f"waited {time.monotonic() - began:.0f} s for {what}, without success")
            time.sleep(0.5)
        return found

    def finished(self, dag_id: str, run_id: str, task_id: str, after: int = 0) -> Any:
        """Wait until the run has ended with a try later than `after`; returns the task's result."""

        def look() -> bool:
            task = self.api.task(dag_id, run_id, task_id)
            if task["try_number"] <= after:
                return False
            # Not the task's state: a clear is lost if the scheduler closes the run just after it.
            state = self.api.run(dag_id, run_id)["state"]
            if state == "failed":
                log = "\n".join(self.api.log(dag_id, run_id, task_id, task["try_number"])[-10:])
                raise CheckFailed(f"{dag_id}.{task_id} ended as {task['state']}\n{log}")
            return state == "success"

        self.wait_for(f"{dag_id}.{task_id} to end", look)
        return self.api.xcom(dag_id, run_id, task_id)

    def rerun(self, dag_id: str, run_id: str, task_id: str) -> Any:
        """Clear the run and wait for its end; returns the task's new result."""
        tries = self.api.task(dag_id, run_id, task_id)["try_number"]
        self.api.clear(dag_id, run_id)
        return self.finished(dag_id, run_id, task_id, after=tries)

    def scheduled_ticks(self) -> list[Tick]:
        """The first end of each run of the periodic Dag, not the end after a clear."""
        first: dict[str, Tick] = {}
        for tick in list(self.ticks.finished):
            first.setdefault(tick.run_id, tick)
        return list(first.values())

    def query(self, statement: Query, **values: Any) -> list[tuple[Any, ...]]:
        """Query the queues' database directly, without the provider."""
        with self.hook.get_conn() as connection:
            return connection.cursor(row_factory=tuple_row).execute(statement, values).fetchall()
