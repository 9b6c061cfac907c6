"""Runs tests against the wheel, as users have it: `python -m tests.wheel tests/unit -q`.

The tests, and all that they read, are copied beside the package that is in the wheel.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

ROOT = Path(__file__).parents[1]
PLACE = ROOT / "build" / "wheel"


def main(arguments: list[str]) -> int:
    shutil.rmtree(PLACE, ignore_errors=True)
    files = subprocess.run(["git", "ls-files"], cwd=ROOT, check=True, capture_output=True, text=True).stdout
    for name in files.splitlines():
        if not name.startswith("airflow_pgmq/") and (ROOT / name).is_file():
            (PLACE / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, PLACE / name)
    build = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", PLACE / "dist", ROOT]
    subprocess.run(build, check=True, stdout=subprocess.DEVNULL)
    with zipfile.ZipFile(next((PLACE / "dist").glob("*.whl"))) as wheel:
        # Without its metadata: those of the environment are about the same package.
        wheel.extractall(PLACE, [name for name in wheel.namelist() if name.startswith("airflow_pgmq/")])
    return subprocess.run([sys.executable, "-m", "pytest", *arguments], cwd=PLACE).returncode


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
