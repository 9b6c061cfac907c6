"""Run the benchmarks, print their table, keep what they found for the page with charts."""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from collections.abc import Callable, Iterator

from rich.console import Console

from airflow_pgmq.db.local import LocalPostgres
from benchmarks import (
    commands,
    consuming,
    document,
    duplicates,
    event_runs,
    event_stream,
    full_queue,
    growth,
    imports,
    in_order,
    kept_results,
    new_keys,
    page,
    pauses,
    report,
    senders,
    single_calls,
    streams,
    ticks,
    topics,
    transfers,
    waiters,
    wake_ups,
)
from benchmarks.findings import Figure, Finding
from benchmarks.peers import comparison
from benchmarks.stage import Stage

BENCHMARKS: dict[str, Callable[[Stage], Iterator[Finding]]] = {
    "single_calls": single_calls.run,
    "senders": senders.run,
    "new_keys": new_keys.run,
    "duplicates": duplicates.run,
    "full_queue": full_queue.run,
    "ticks": ticks.run,
    "wake_ups": wake_ups.run,
    "waiters": waiters.run,
    "event_stream": event_stream.run,
    "event_runs": event_runs.run,
    "consuming": consuming.run,
    "in_order": in_order.run,
    "pauses": pauses.run,
    "streams": streams.run,
    "topics": topics.run,
    "transfers": transfers.run,
    "imports": imports.run,
    "commands": commands.run,
    "page": page.run,
}
#: Run only by name: they take long, or need packages of others.
BY_NAME: dict[str, Callable[[Stage], Iterator[Finding]]] = {"growth": growth.run, "peers": comparison.run}


def main() -> int:
    """Returns the exit status: 1 if a figure was missed."""
    parser = argparse.ArgumentParser(
        prog="benchmarks", description="What sending, ticking and waiting cost here."
    )
    parser.add_argument(
        "names",
        nargs="*",
        metavar="name",
        help=f"of {', '.join(BENCHMARKS)}; all of these by default; or {', '.join(BY_NAME)}",
    )
    parser.add_argument("--quick", action="store_true", help="fewer rounds, a smaller full queue: for a look")
    options = parser.parse_args()
    if unknown := set(options.names) - BENCHMARKS.keys() - BY_NAME.keys():
        parser.error(f"unknown: {', '.join(sorted(unknown))}")
    console = Console()
    with tempfile.TemporaryDirectory(prefix="airflow_home_") as home:
        _prepare_environment(home)
        figures, caption = _measure(options.names or list(BENCHMARKS), options.quick, console)
    console.print(report.terminal(figures, caption))
    if not options.quick:
        document.write()
        console.print(f"Kept in {document.PAGE.name}, with charts.")
    return int(any(figure.met is False for figure in figures))


def _prepare_environment(home: str) -> None:
    """Remove the settings of an Airflow that is configured here: they must not influence the figures."""
    for name in [name for name in os.environ if name.startswith("AIRFLOW")]:
        del os.environ[name]
    os.environ["AIRFLOW_HOME"] = home


def _measure(names: list[str], quick: bool, console: Console) -> tuple[list[Figure], str]:
    """Run each; what it found is kept at once, unless the run is a quick one."""
    figures: list[Figure] = []
    with LocalPostgres() as server, console.status("starting") as status:
        for name in names:

            def progress(text: str, name: str = name) -> None:
                status.update(f"{name}: {text}")

            stage = Stage(server, 3 if quick else 9, 100_000 if quick else 1_000_000, progress)
            found = []
            for finding in (BENCHMARKS | BY_NAME)[name](stage):
                found.append(finding)
                if isinstance(finding, Figure):
                    console.print(f"{name}: {finding.measured}", style="red" if finding.met is False else "")
                    figures.append(finding)
            caption = report.facts(stage.postgres_version())
            if not quick:
                kept_results.keep(name, kept_results.Result(caption, found))
        return figures, caption


if __name__ == "__main__":
    sys.exit(main())
