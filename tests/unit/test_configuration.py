"""The page of the configuration has every option of the section `[pgmq]`; `WRITE_PAGES=1` writes it."""

from __future__ import annotations

import os

from airflow_pgmq.provider_info import get_provider_info
from tests.unit.support import ROOT

PAGE = ROOT / "docs" / "reference" / "configuration.md"
INTRO = """# Configuration

Options of the section `[pgmq]` in `airflow.cfg`, or as environment variables `AIRFLOW__PGMQ__<OPTION>`. All
of Airflow's processes read them: the API server, the scheduler, the Dag processor, the triggerer and the
workers. Everything else is said where it is used: in the [Airflow connection](connections.md), and by
parameters of operators and jobs.
"""


def page() -> str:
    section = get_provider_info()["config"]["pgmq"]
    parts = [INTRO]
    for name, option in section["options"].items():
        example = f" Example: `{option['example']}`." if option["example"] else ""
        parts.append(
            f"\n## {name}\n\n{option['description']} Default: `{option['default']}`.{example} "
            f"Since {option['version_added']}, as the variable `AIRFLOW__PGMQ__{name.upper()}`.\n"
        )
    return "".join(parts)


def test_the_page_is_what_airflow_is_told() -> None:
    if os.environ.get("WRITE_PAGES"):
        PAGE.write_text(page())
    assert PAGE.read_text() == page()
