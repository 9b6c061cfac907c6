"""What the demo shows: tables that are updated on a terminal, plain lines in a pipe."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

from rich import box
from rich.console import Console, Group
from rich.live import Live
from rich.panel import Panel
from rich.progress import Progress, SpinnerColumn, Task, TextColumn, TimeElapsedColumn
from rich.table import Column, Table
from rich.text import Text

if TYPE_CHECKING:
    from demo.arrivals import Arrival
    from demo.ticks import Tick

ROWS = 8
PLAIN_WIDTH = 140


@dataclass
class Step:
    """A step: what it waits for now, and at the end its result."""

    title: str
    figure: str = ""
    ok: bool | None = None
    seconds: float = 0


class MarkColumn(SpinnerColumn):
    """A spinner that becomes the step's outcome."""

    def render(self, task: Task) -> Text:
        step: Step = task.fields["step"]
        return super().render(task) if step.ok is None else _mark(step.ok)


class FigureColumn(TextColumn):
    """The step's figure, which changes while it runs."""

    def render(self, task: Task) -> Text:
        step: Step = task.fields["step"]
        return Text(step.figure, style="dim" if step.ok is None else "")


class Screen:
    """Draws events that any thread reports."""

    def __init__(self) -> None:
        self.console = Console(highlight=False)
        if not self.console.is_terminal:
            self.console.width = PLAIN_WIDTH
        self._began = time.monotonic()
        self._address: Panel | None = None
        self._arrivals: deque[Arrival] = deque(maxlen=ROWS)
        self._ticks: deque[Tick] = deque(maxlen=ROWS)
        self._progress = Progress(
            MarkColumn(),
            TextColumn("{task.description}", table_column=Column(no_wrap=True)),
            TimeElapsedColumn(),
            FigureColumn("", table_column=Column(ratio=1)),
            console=self.console,
            expand=True,
        )
        self._live = Live(get_renderable=self._draw, console=self.console, transient=True)

    def __enter__(self) -> Screen:
        if self.console.is_terminal:
            self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self.console.is_terminal:
            self._live.stop()
        self.note("Ending everything that was started …")

    @contextmanager
    def step(self, title: str) -> Iterator[Step]:
        """Show a step as running, then as done, or as failed if it raises."""
        step = Step(title)
        task = self._progress.add_task(title, total=1, step=step)
        began = time.monotonic()
        try:
            yield step
        except Exception as exc:
            step.ok, step.figure = False, str(exc) or repr(exc)
            raise
        else:
            step.ok = True
        finally:
            step.seconds = time.monotonic() - began
            self._progress.update(task, completed=1)
            if step.ok is not None:
                self._line(_word(step.ok), title, step.figure)

    def up(self, url: str, user: str, password: str) -> None:
        """Airflow is up: show its address and how to log in."""
        address = f"Airflow   {url}\nuser      {user}\npassword  {password}"
        self._address = Panel(Text(address), title="PGMQ on Airflow", title_align="left", border_style="cyan")
        self._line("up", url, f"user {user}, password {password}")

    def arrival(self, arrival: Arrival) -> None:
        """A periodic job's message reached its reader."""
        self._arrivals.append(arrival)
        job, slot = arrival.job, arrival.slot
        self._line(
            "message",
            f"{job.queue_name}/{job.name}",
            f"slot {slot:%H:%M:%S}, late by {millis(arrival.lateness)}",
        )

    def tick(self, tick: Tick) -> None:
        """A run of the periodic Dag has finished."""
        self._ticks.append(tick)
        what = ", ".join(f"{name} {value}" for name, value in tick.summary.items() if value)
        self._line("tick", f"{tick.minute:%H:%M} try {tick.try_number}", f"{tick.state}: {what}")

    def note(self, text: str) -> None:
        """Show a text below everything else."""
        self.console.print(Text(text))

    def summary(self, steps: Sequence[Step]) -> None:
        """Show every check with its figure."""
        style = box.SIMPLE if self.console.is_terminal else box.ASCII2
        table = Table(
            "",
            "check",
            "measured",
            Column("s", justify="right"),
            box=style,
            title="Summary",
            title_justify="left",
        )
        for step in steps:
            table.add_row(
                _mark(step.ok) if self.console.is_terminal else _word(step.ok),
                step.title,
                step.figure,
                f"{step.seconds:.1f}",
            )
        self.console.print(table)

    def _line(self, what: str, title: str, figure: str) -> None:
        if not self.console.is_terminal:
            elapsed = time.monotonic() - self._began
            print(f"{elapsed:6.1f}s  {what:8} {title:40} {figure}".rstrip(), flush=True)

    def _draw(self) -> Group:
        tables = Table.grid(expand=True, padding=(0, 2))
        tables.add_row(self._draw_ticks(), self._draw_arrivals())
        return Group(*([self._address] if self._address else []), self._progress, tables)

    def _draw_ticks(self) -> Table:
        columns = ["minute", "try", "started", "slots", "sent", "duplicates"]
        table = Table(*columns, box=box.SIMPLE, title="Ticks of the periodic Dag", title_justify="left")
        for tick in list(self._ticks):
            counts = [str(tick.summary.get(name, "")) for name in columns[3:]]
            started = f"+{tick.started_late.total_seconds():.1f} s"
            table.add_row(f"{tick.minute:%H:%M}", str(tick.try_number), started, *counts)
        return table

    def _draw_arrivals(self) -> Table:
        columns = ("queue", "job", "slot (local)", "late by")
        table = Table(*columns, box=box.SIMPLE, title="Messages at their slots", title_justify="left")
        for arrival in list(self._arrivals):
            job = arrival.job
            table.add_row(job.queue_name, job.name, _local(arrival), millis(arrival.lateness))
        return table


def millis(lateness: timedelta) -> str:
    """Milliseconds in a readable form."""
    return f"{lateness / timedelta(milliseconds=1):,.1f} ms"


def _local(arrival: Arrival) -> str:
    zone = arrival.job.timezone
    return f"{arrival.slot.astimezone(ZoneInfo(zone)):%H:%M:%S} {zone}"


def _word(ok: bool | None) -> str:
    return "ok" if ok else "FAILED"


def _mark(ok: bool | None) -> Text:
    return Text("✓", style="green") if ok else Text("✗", style="bold red")
