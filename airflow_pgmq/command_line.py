"""How our commands are called, for texts of every layer. It inspects Airflow without importing it."""

from __future__ import annotations

from functools import cache
from importlib.util import find_spec
from pathlib import Path

__all__ = ["command"]


def command(words: str) -> str:
    """The full command line of one of our commands, such as `init orders`, for the installed Airflow."""
    return f"{_program()} {words}"


@cache
def _program() -> str:
    # Airflow has commands of providers since 3.2. Its schema of a provider's parts says if it does.
    found = find_spec("airflow")
    if found is None or found.origin is None:
        return "airflow pgmq"
    schema = Path(found.origin).with_name("provider_info.schema.json")
    takes_commands = not schema.exists() or '"cli":' in schema.read_text(encoding="utf-8")
    return "airflow pgmq" if takes_commands else "python -m airflow_pgmq"
