"""How people call our commands: texts of every layer name them. Airflow is looked at, and not imported."""

from __future__ import annotations

from functools import cache
from importlib.util import find_spec
from pathlib import Path

__all__ = ["command"]


def command(words: str) -> str:
    """What to type for a command of ours, such as `init orders`, with the Airflow that is installed here."""
    return f"{_program()} {words}"


@cache
def _program() -> str:
    # Airflow takes commands of providers since 3.2. What it takes, its schema of a provider's parts says.
    found = find_spec("airflow")
    if found is None or found.origin is None:
        return "airflow pgmq"
    schema = Path(found.origin).with_name("provider_info.schema.json")
    takes_commands = not schema.exists() or '"cli":' in schema.read_text(encoding="utf-8")
    return "airflow pgmq" if takes_commands else "python -m airflow_pgmq"
