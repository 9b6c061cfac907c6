"""How far a long command is, for people: only where standard error is a terminal."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, Progress, ProgressColumn, SpinnerColumn, TextColumn, TimeElapsedColumn

#: Gets how many messages were sent, and how many bytes were read.
Advance = Callable[[int, int], None]


@contextmanager
def progress(total: int | None) -> Iterator[Advance]:
    """Show a bar until the block ends, and then nothing of it.

    :param total: bytes to read, or None: without an end that is known it is a count
    """
    if not sys.stderr.isatty():
        # A bar that is disabled ends with an empty line, in older versions of rich.
        yield lambda sent, size: None
        return
    shape: ProgressColumn = SpinnerColumn() if total is None else BarColumn()
    columns = (shape, TextColumn("{task.fields[sent]:,} messages"), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("", total=total, sent=0)
        yield lambda sent, size: bar.update(task, completed=size, sent=sent)
