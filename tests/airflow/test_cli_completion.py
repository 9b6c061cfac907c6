"""Completion in bash: Airflow's own, which knows our commands as well."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from airflow_pgmq.command_line import command

pytestmark = [
    pytest.mark.skipif(not command("").startswith("airflow"), reason="no commands of providers"),
    pytest.mark.skipif(shutil.which("bash") is None, reason="there is no bash"),
]

#: What bash does when somebody presses Tab.
SCRIPT = """
eval "$(register-python-argcomplete airflow)"
COMP_LINE=$1 COMP_POINT=${#1} COMP_TYPE=9 COMP_KEY=9
read -ra COMP_WORDS <<< "$1"
[[ $1 == *' ' ]] && COMP_WORDS+=('')
COMP_CWORD=$((${#COMP_WORDS[@]} - 1))
_python_argcomplete airflow
printf '%s\\n' "${COMPREPLY[@]}"
"""


def completed(line: str) -> set[str]:
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    words = ["bash", "-c", SCRIPT, "bash", line]
    done = subprocess.run(words, capture_output=True, text=True, check=True, env={**os.environ, "PATH": path})
    return {each.strip() for each in done.stdout.splitlines()}


@pytest.mark.parametrize(
    ("line", "proposed"),
    [
        ("airflow pgm", {"pgmq"}),
        ("airflow pgmq send", {"send", "send-batch"}),
        ("airflow pgmq jobs e", {"edit", "export"}),
        ("airflow pgmq send orders 1 --on-duplicate ", {"skip", "replace", "fail"}),
        ("airflow pgmq tail orders --la", {"--last"}),
    ],
)
def test_tab_proposes_commands_options_and_values(line: str, proposed: set[str]) -> None:
    assert completed(line) == proposed
