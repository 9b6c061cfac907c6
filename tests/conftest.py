"""The fixtures are in `fixtures/`, one file per resource; Airflow's environment must be imported first."""

from __future__ import annotations

import faulthandler
import time
from collections.abc import Generator
from typing import Any

import pytest
import pytest_timeout
from _pytest.faulthandler import fault_handler_stderr_fd_key
from hypothesis import settings as hypothesis_settings

from tests.fixtures.patience import before_the_hour, patience, slowness
from tests.fixtures.temporary import use_memory

# Before anything asks where temporary files are.
use_memory()

pytest_plugins = [
    "tests.fixtures.profiles",
    "tests.fixtures.airflow",
    "tests.fixtures.cli",
    "tests.fixtures.postgres",
    "tests.fixtures.live",
    "tests.fixtures.ui",
    "tests.fixtures.fab",
]

# A busy machine is no fault; what takes for ever meets the timeout.
hypothesis_settings.register_profile("no deadline", hypothesis_settings(), deadline=None)
hypothesis_settings.load_profile("no deadline")


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup() -> None:
    """No test that takes less than a minute is under way when an hour turns: one more slot would come."""
    while left := before_the_hour(time.time(), patience(60)):
        time.sleep(left)


@pytest.hookimpl(tryfirst=True)
def pytest_timeout_set_timer(item: pytest.Item, settings: Any) -> Any:
    """A test may take longer on a busy machine, also if the machine becomes busy only now.

    An event loop that waits for its tasks swallows the error of the timeout: then the process ends a little
    later, and says where it was.
    """
    longer = settings._replace(timeout=settings.timeout * 2 * slowness())
    stderr = item.config.stash[fault_handler_stderr_fd_key]
    faulthandler.dump_traceback_later(longer.timeout + 30, exit=True, file=stderr)
    return pytest_timeout.pytest_timeout_set_timer(item, longer)


@pytest.hookimpl(tryfirst=True)
def pytest_timeout_cancel_timer() -> None:
    """The test has ended."""
    faulthandler.cancel_dump_traceback_later()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Reports that can be sent between processes: some tests work with halves of surrogate pairs."""
    report = yield
    report.sections = [(name, _sendable(text)) for name, text in report.sections]
    text = report.longreprtext
    if text != _sendable(text):
        report.longrepr = _sendable(text)
    return report


def _sendable(text: str) -> str:
    return text.encode(errors="replace").decode()
