"""The clock of the stories, and how many steps were made."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

import pytest

from tests.fixtures.clock import SchemaClock, database_with_clock
from tests.model import steps


@pytest.fixture(autouse=True)
def everything_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """In one run, not a hundred slots in each: then it does not matter which come first."""
    monkeypatch.setattr("airflow_pgmq.db.statements.overdue.ALERTS", 1_000_000)


@pytest.fixture(scope="module")
def moving(postgres_server) -> Iterator[SchemaClock]:
    """A database with a clock, for all stories of a module: each story empties it first."""
    with database_with_clock(postgres_server) as clock:
        yield clock


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Iterator[None]:
    """Add the counts to the test's report, also if it ran in another process."""
    report = yield
    if report.when == "call":
        report.user_properties += [("steps", (world, count)) for world, count in steps.told.items()]
        steps.told.clear()
    return report


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say how many steps were made."""
    told: Counter[str] = Counter()
    for reports in terminalreporter.stats.values():
        for report in reports:
            for what, value in getattr(report, "user_properties", ()):
                if what == "steps":
                    told[value[0]] += value[1]
    for world, count in sorted(told.items()):
        terminalreporter.write_line(f"model: {count:,} steps {world}")
