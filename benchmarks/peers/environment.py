"""The environment of the peers: `.venv-peers` in the repository, which `make clean` removes."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
DIRECTORY = ROOT / ".venv-peers"

_PINS = (HERE / "requirements.txt", HERE / "package.json")
#: Holds the pins that are installed; an installation that failed has no such file.
_STAMP = DIRECTORY / "installed"


def prepare(progress: Callable[[str], None]) -> None:
    """Install what is pinned, unless it is there."""
    wanted = hashlib.sha256(b"".join(path.read_bytes() for path in _PINS)).hexdigest()
    if not _STAMP.exists() or _STAMP.read_text() != wanted:
        progress("installing the peers")
        _run([sys.executable, "-m", "venv", "--clear", str(DIRECTORY)])
        _run([str(_bin("python")), "-m", "pip", "install", "--quiet", "--requirement", str(_PINS[0])])
        _install_node_packages()
        _STAMP.write_text(wanted)
    for script in HERE.glob("*.mjs"):
        # Node.js looks for packages from the script's own folder upwards.
        shutil.copy(script, DIRECTORY)


def has_node_packages() -> bool:
    """Whether npm worked: there is no Node.js for every machine."""
    return (DIRECTORY / "node_modules" / "pg").exists()


def versions() -> dict[str, str]:
    """What is pinned, by the names of the packages."""
    lines = _PINS[0].read_text().splitlines()
    pins = dict(line.split("==") for line in lines if line and not line.startswith("#"))
    return {name.split("[")[0]: version for name, version in pins.items()} | _node_packages()


def run(script: str, *arguments: str) -> str:
    """Run a peer's script; what it printed.

    :raises RuntimeError: it failed; the message is what it wrote to its standard error
    """
    if script.endswith(".mjs"):
        return _run([str(_bin("node")), str(DIRECTORY / script), *arguments])
    return _run([str(_bin("python")), "-m", f"benchmarks.peers.{script}", *arguments])


def _install_node_packages() -> None:
    shutil.copy(_PINS[1], DIRECTORY)
    command = ["install", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"]
    try:
        _run([str(_bin("npm")), *command], cwd=DIRECTORY)
    except (OSError, RuntimeError) as exc:
        print(f"The peers in JavaScript are skipped: npm install failed: {exc}", file=sys.stderr)


def _node_packages() -> dict[str, str]:
    found: dict[str, str] = json.loads(_PINS[1].read_text())["dependencies"]
    return found


def _bin(name: str) -> Path:
    return DIRECTORY / "bin" / name


def _run(command: list[str], *, cwd: Path = ROOT) -> str:
    # npm starts `node`, which is beside it.
    path = os.pathsep.join([str(DIRECTORY / "bin"), os.environ["PATH"]])
    done = subprocess.run(command, cwd=cwd, env={**os.environ, "PATH": path}, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(done.stderr[-2000:])
    return done.stdout
