"""`python -m airflow_pgmq queues` is `airflow pgmq queues`: Airflow 3.1 has no commands of providers."""

from __future__ import annotations

import sys


def main() -> None:
    """Add our commands if Airflow does not have them, and run Airflow's command line."""
    from airflow.cli import cli_parser

    from airflow_pgmq.cli.definition import get_commands

    for command in get_commands():
        cli_parser.ALL_COMMANDS_DICT.setdefault(command.name, command)
    sys.argv[:1] = ["airflow", "pgmq"]

    from airflow.__main__ import main as airflow

    airflow()


if __name__ == "__main__":
    main()
