"""Start everything, run each check, then keep running or end."""

from __future__ import annotations

import argparse
import math
import os
import runpy
import sys
import tempfile
import time
from contextlib import ExitStack, suppress
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import psycopg
from packaging.version import Version

from airflow_pgmq.db.local import LocalPostgres, LocalPostgresError
from demo.api import Api
from demo.arrivals import Reader
from demo.checks import CHECKS, DAG_IDS, ORDERS, REPORTS
from demo.events import SIGNUPS
from demo.interrupts import Interrupted, Interrupts
from demo.screen import Screen, Step
from demo.stage import CheckFailed, Stage
from demo.standalone import METADATA, QUEUES, ROOT, USER, Standalone, StandaloneError
from demo.ticks import Ticks

if TYPE_CHECKING:
    from airflow_pgmq.hooks import PgmqHook

# `--once` ends within five minutes; the difference is for shutting down.
TIME_TO_VERIFY = 265


def main() -> int:
    """Run the demo; returns the exit status."""
    parser = argparse.ArgumentParser(
        prog="demo", description="Airflow and PGMQ on this machine, shown and measured."
    )
    parser.add_argument("--once", action="store_true", help="run each check, print a summary and end")
    parser.add_argument("--airflow", metavar="VERSION", help="on another Airflow: 3.1.0, 3.4.0b2 …")
    asked = parser.parse_args()
    if asked.airflow and Version(asked.airflow) != Version(version("apache-airflow")):
        start_anew(asked.airflow)
    once = asked.once
    deadline = time.monotonic() + TIME_TO_VERIFY if once else math.inf
    screen, verified = Screen(), list[Step]()
    try:
        with Interrupts() as interrupts, ExitStack() as stack, screen, interrupts.clean_up_after():
            stage = start(stack, interrupts, screen, deadline)
            verified = verify(stage, screen)
            if not once:
                stay_up(stage, screen)
    except Interrupted as interrupted:
        if not verified:
            screen.note(f"Ended by {interrupted}; nothing is left running.")
            return 128 + interrupted.signum
    except (LocalPostgresError, StandaloneError, CheckFailed) as exc:
        screen.note(f"The demo failed: {exc}")
        return 1
    screen.summary(verified)
    return report(screen, verified)


def start_anew(airflow: str) -> NoReturn:
    """The same command with another Airflow, in an environment of its own, which is made if it is missing."""
    from tests import matrix

    python = matrix.install(matrix.column(airflow)) / "bin" / "python"
    os.execv(python, [str(python), "-m", "demo", *sys.argv[1:]])


def start(stack: ExitStack, interrupts: Interrupts, screen: Screen, deadline: float) -> Stage:
    """Postgres, the queues and Airflow; `stack` ends them in the reverse order."""
    with screen.step("Embedded Postgres") as step:
        # Everything started must be on the stack before a signal may end the demo.
        with interrupts.held():
            postgres = stack.enter_context(LocalPostgres())
        with psycopg.connect(postgres.dsn(), autocommit=True) as connection:
            for database in (METADATA, QUEUES):
                connection.execute(f"CREATE DATABASE {database}")
            step.figure = (
                f"Postgres {connection.info.parameter_status('server_version')}, in {postgres.directory}"
            )
    with interrupts.held():
        home = stack.enter_context(
            tempfile.TemporaryDirectory(prefix="pgmq_demo_", ignore_cleanup_errors=True)
        )
    standalone = Standalone(Path(home), postgres)
    with screen.step("PGMQ and its queues") as step:
        hook, jobs = prepare(standalone)
        step.figure = ", ".join(queue.queue_name for queue in hook.list_queues())
    with interrupts.held():
        api = stack.enter_context(Api(standalone.url, USER, standalone.password))
        reader, ticks = Reader(hook, jobs, screen.arrival), Ticks(api, screen.tick)
        stack.callback(standalone.stop)
        standalone.start()
        for watcher in (reader, ticks):
            watcher.start()
            stack.callback(watcher.stop)
    stage = Stage(standalone, api, hook, reader, ticks, deadline)
    with screen.step("Airflow standalone") as stage.step:
        stage.wait_for("every part to be healthy", lambda: set(api.health().values()) == {"healthy"}, 180)
        stage.wait_for("the Dags", lambda: read_dags(api))
        for dag_id in DAG_IDS:
            api.unpause(dag_id)
        stage.step.figure = f"{len(standalone.processes())} processes, {len(DAG_IDS)} Dags"
    screen.up(standalone.url, USER, standalone.password)
    return stage


def read_dags(api: Api) -> bool:
    """Whether Airflow has read our Dags; raises if it can't read one."""
    if errors := api.import_errors():
        raise CheckFailed(f"a Dag file can't be imported:\n{errors[0]}")
    return api.dags() >= DAG_IDS


def prepare(standalone: Standalone) -> tuple[PgmqHook, list[Any]]:
    """Make PGMQ and every queue that the Dags use; Airflow must not be imported before this."""
    os.environ.clear()
    os.environ.update(standalone.environment)
    from airflow_pgmq.hooks import PgmqHook

    jobs = runpy.run_path(str(ROOT / "dags" / "pgmq_periodic_jobs.py"))["JOBS"]
    hook = PgmqHook()
    hook.install()
    for queue_name in {job.queue_name for job in jobs} | {ORDERS, REPORTS, SIGNUPS}:
        hook.create_queue(queue_name)
    return hook, jobs


def verify(stage: Stage, screen: Screen) -> list[Step]:
    """Run every check, also after one has failed."""
    steps = []
    for title, measure in CHECKS.items():
        # After any error the check counts as failed; the step says why.
        with suppress(Exception), screen.step(title) as stage.step:
            steps.append(stage.step)
            stage.step.figure = measure(stage)
    return steps


def stay_up(stage: Stage, screen: Screen) -> None:
    """Show what happens until Ctrl-C."""
    screen.note("Airflow stays up: press Ctrl-C to end it and everything it started.")
    while True:
        stage.standalone.check()
        if stage.reader.error:
            raise CheckFailed(f"the reader failed: {stage.reader.error!r}")
        time.sleep(1)


def report(screen: Screen, verified: list[Step]) -> int:
    """Say which checks failed, if any."""
    failed = [step.title for step in verified if not step.ok]
    screen.note(f"FAILED: {'; '.join(failed)}" if failed else f"All {len(verified)} checks passed.")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
