"""The table for the terminal, and what figures depend on."""

from __future__ import annotations

import os
import platform
from collections.abc import Sequence
from datetime import datetime, timezone
from importlib.metadata import version

from pgmq.install import get_embedded_sql_version
from rich import box
from rich.table import Table
from rich.text import Text

from benchmarks.findings import Figure


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
