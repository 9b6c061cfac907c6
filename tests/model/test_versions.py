"""A rolling upgrade of this package: two installed versions tick one namespace side by side."""

from __future__ import annotations

import json
import os
import queue
import shutil
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import airflow_pgmq
from airflow_pgmq.db.sql import code
from tests.fixtures.factories import QUEUE, execute, slots_in
from tests.fixtures.postgres import Database
from tests.model import ticking

PACKAGE = Path(airflow_pgmq.__file__).parent


class Ticker:
    """A process that ticks, and its output."""

    def __init__(self, package: Path, dsn: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, ticking.__file__, dsn],
            cwd=package.parent,
            env={**os.environ, "PYTHONPATH": str(package.parent)},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.package = package
        self._lines: queue.Queue[str] = queue.Queue()
        self._listener = threading.Thread(target=self._listen)
        self._listener.start()

    def _listen(self) -> None:
        for line in self.process.stdout or ():
            self._lines.put(line)

    def next(self) -> dict[str, Any]:
        """The output of the next tick."""
        said: dict[str, Any] = json.loads(self._lines.get(timeout=60))
        assert Path(said["from"]).parent == self.package
        return said

    def until(self, wanted: Callable[[dict[str, Any]], object], times: int = 1) -> dict[str, Any]:
        """Wait for the n-th tick of this kind."""
        while True:
            said = self.next()
            times -= bool(wanted(said))
            if not times:
                return said

    def end(self) -> list[dict[str, Any]]:
        """Let it finish; returns its remaining output."""
        if self.process.stdin:
            self.process.stdin.close()
        self.process.wait(60)
        self._listener.join()
        return [json.loads(line) for line in self._lines.queue]

    def kill(self) -> None:
        """Kill it with its children."""
        with self.process:
            self.process.kill()
        self._listener.join()


@contextmanager
def ticker(package: Path, dsn: str) -> Iterator[Ticker]:
    """A ticker that ends with the block."""
    running = Ticker(package, dsn)
    try:
        yield running
    finally:
        running.kill()


def next_version(folder: Path, migration: str) -> Path:
    """This package with one more migration."""
    package = folder / PACKAGE.name
    shutil.copytree(PACKAGE, package, ignore=shutil.ignore_patterns("__pycache__", "static"))
    (package / "db" / "sql" / "migrations" / f"{code() + 1:04}_newer.sql").write_text(migration)
    return package


def check_every_second_once(database: Database) -> None:
    found = slots_in(database, "a")
    assert set(Counter(found).values()) == {1}
    assert found == [found[0] + timedelta(seconds=n) for n in range(len(found))]


def is_tick(said: dict[str, Any]) -> bool:
    return "sent" in said


def is_sending(said: dict[str, Any]) -> bool:
    return said.get("sent", 0) > 0


def test_older_code_stops_where_newer_code_says_so(database: Database, tmp_path: Path):
    execute(database, "SELECT pgmq.create(%s)", [QUEUE])
    migration = f"ALTER TABLE airflow_pgmq.migrations ALTER COLUMN oldest_code SET DEFAULT {code() + 1};"
    with ticker(PACKAGE, database.dsn) as old:
        old.until(is_sending, 2)
        with ticker(next_version(tmp_path, migration), database.dsn) as new:
            new.until(is_sending)
            refused = old.until(lambda said: "error" in said)
            again = [old.next() for _ in range(4)]
            new.until(is_sending, 2)

    assert refused["error"] == "CodeTooOld"
    assert "Upgrade airflow-provider-pgmq" in refused["text"]
    assert f"{code()}, the schema needs code that knows {code() + 1}" in refused["text"]
    assert {said.get("error") for said in again} == {"CodeTooOld"}
    check_every_second_once(database)


def test_older_code_goes_on_beside_newer_code_that_lets_it(database: Database, tmp_path: Path):
    execute(database, "SELECT pgmq.create(%s)", [QUEUE])
    with ticker(PACKAGE, database.dsn) as old:
        old.until(is_sending)
        with ticker(next_version(tmp_path, "SELECT;"), database.dsn) as new:
            new.until(is_tick, 3)
            old.until(is_tick, 6)
            new.until(is_tick, 3)
            said = old.end() + new.end()

    assert [each for each in said if "error" in each] == []
    (number,) = execute(database, "SELECT max(number) FROM airflow_pgmq.migrations")
    assert number["max"] == code() + 1
    check_every_second_once(database)
