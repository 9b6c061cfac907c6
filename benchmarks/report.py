"""Turns figures into a table for the terminal and one for the repository."""

from __future__ import annotations

import os
import platform
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from importlib.metadata import version
from pathlib import Path

from pgmq.install import get_embedded_sql_version
from rich import box
from rich.table import Table
from rich.text import Text

RESULTS = Path(__file__).with_name("results.md")


@dataclass(frozen=True)
class Figure:
    """One line of the table."""

    what: str
    required: str
    measured: str
    #: None: for comparison only, nothing is required.
    met: bool | None

    @property
    def verdict(self) -> str:
        """The verdict in one word."""
        return {True: "met", False: "MISSED", None: "–"}[self.met]


def facts(postgres: str) -> str:
    """What the figures depend on."""
    versions = [
        f"PostgreSQL {postgres} (default durable settings, Unix socket)",
        f"PGMQ {get_embedded_sql_version()}",
        f"psycopg {version('psycopg')}",
        f"Airflow {version('apache-airflow')}",
        f"Python {platform.python_version()}",
    ]
    return f"{datetime.now(timezone.utc):%Y-%m-%d}, {os.cpu_count()} cores, {', '.join(versions)}"


def terminal(figures: Sequence[Figure], caption: str) -> Table:
    """The table with colours."""
    table = Table(
        "Figure", "Required", "Measured", "Verdict", box=box.ROUNDED, caption=caption, show_lines=True
    )
    for figure in figures:
        style = {True: "bold green", False: "bold red", None: "dim"}[figure.met]
        table.add_row(figure.what, figure.required, figure.measured, Text(figure.verdict, style=style))
    return table


def markdown(figures: Sequence[Figure], caption: str) -> str:
    """The table for the repository."""
    rows = [f"| {f.what} | {f.required} | {f.measured} | {f.verdict} |" for f in figures]
    return "\n".join(
        [
            "# Measured",
            "",
            f"{caption}.",
            "Written by `make bench`: medians of paired runs, so the ratios are what matters.",
            "",
            "| figure | required | measured | verdict |",
            "|---|---|---|---|",
            *rows,
            "",
        ]
    )
