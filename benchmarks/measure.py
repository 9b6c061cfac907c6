"""Ways that are compared run in turn, so that changes of the machine's speed affect all of them equally."""

from __future__ import annotations

import resource
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from statistics import median, quantiles

#: Runs a way once and returns the seconds that are measured; preparation is not included.
Way = Callable[[], float]


class Stopwatch:
    """Measures a `with` block."""

    seconds = 0.0

    def __enter__(self) -> Stopwatch:
        self._started = time.perf_counter()
        return self

    def __exit__(self, *_: object) -> None:
        self.seconds = time.perf_counter() - self._started


def take_turns(
    rounds: int, ways: Mapping[str, Way], progress: Callable[[str], None]
) -> dict[str, list[float]]:
    """Seconds of each way, one for each round; every second round runs in reverse: none is always first."""
    names = list(ways)
    seconds: dict[str, list[float]] = {name: [] for name in names}
    for number in range(rounds):
        for name in names if number % 2 == 0 else reversed(names):
            progress(f"round {number + 1} of {rounds}: {name}")
            seconds[name].append(ways[name]())
    return seconds


def ratio(times: Sequence[float], baseline: Sequence[float]) -> float:
    """How many times as long the one took as the other: the median over the rounds."""
    return median(mine / theirs for mine, theirs in zip(times, baseline, strict=True))


def percentile_99(times: Sequence[float]) -> float:
    """What 99 of 100 calls do not exceed."""
    return quantiles(times, n=100)[98]


def spread(times: Sequence[float]) -> str:
    """Median and 99th percentile in a readable form."""
    return f"p50 {median(times) * 1000:,.2f} ms, p99 {percentile_99(times) * 1000:,.2f} ms"


def milliseconds(times: Sequence[float]) -> str:
    """The median in a readable form."""
    return f"{median(times) * 1000:,.0f} ms"


def peak_memory() -> int:
    """The highest number of bytes in memory of this process so far."""
    try:
        # Not `getrusage`: on Linux a process inherits the peak of the process that forked it.
        status = Path("/proc/self/status").read_text()
        return int(status.split("VmHWM:")[1].split()[0]) * 1024
    except FileNotFoundError:
        unit = 1 if sys.platform == "darwin" else 1024
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
