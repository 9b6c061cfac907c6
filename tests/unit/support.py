"""What several unit tests share."""

from __future__ import annotations

import os
import subprocess
import sys
from datetime import datetime, timezone
from pathlib import Path

ROOT = Path(__file__).parents[2]


def utc(text: str) -> datetime:
    """An instant written as `2026-03-29 01:00` or with seconds, in UTC."""
    return datetime.fromisoformat(text).replace(tzinfo=timezone.utc)


def python(code: str, **environment: str) -> str:
    """The output of this code in a new interpreter."""
    return subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT), **environment},
        check=True,
        capture_output=True,
        text=True,
    ).stdout.strip()
