"""Addresses of the documentation, for texts that send their reader there."""

from __future__ import annotations

#: Of the newest release: a reader whose version is older finds there what became of it.
SITE = "https://airflow-provider-pgmq.readthedocs.io/en/stable/"

BACKUP = f"{SITE}production/backup/"
MAINTENANCE = f"{SITE}production/maintenance/"
PERMISSIONS = f"{SITE}production/permissions/"
UPGRADING = f"{SITE}production/upgrading/"

#: What the address of each entry begins with.
HELP = f"{SITE}reference/troubleshooting/"


def help_with(name: str) -> str:
    """The entry of an error, by the name of its class, or of a problem that `doctor` finds, by its code."""
    return f"{HELP}#{name.lower()}"
