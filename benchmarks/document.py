"""Writes the page of the docs that shows what was measured; run as a module, it does only that."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks import charts, kept_results
from benchmarks.findings import Bars, Curves, Figure, Table
from benchmarks.kept_results import Result

PAGE = Path(__file__).parents[1] / "docs" / "why" / "benchmarks.md"

TITLE = """# Benchmarks

What sending, ticking, waiting and consuming cost, beside the simplest way to do the same without this
package. `make bench` measures all of it and writes this page; `make bench ARGS=growth` and
`make bench ARGS=peers` write the last two parts.

Ways that are compared run in turn on one machine, and the ratio is the median over the rounds: the times
differ with the machine, the ratios much less. "Required" is what this project asks of itself; of each
figure the last column says whether it was met, and which part of what is allowed it took. What was missed
is written down as plainly as what was met. Where a part names no other machine, it was measured on this one:

{facts}.
"""


@dataclass(frozen=True)
class Part:
    """A part of the page."""

    title: str
    text: str
    #: The benchmarks that it shows.
    names: Sequence[str]


PARTS = (
    Part(
        "One message per call", "Each call is one statement on a connection that is kept.", ["single_calls"]
    ),
    Part("Many processes", "All begin at the same instant and work with one queue.", ["senders"]),
    Part(
        "Batches with dedup keys",
        "10,000 messages with keys that nobody used, the same again as duplicates, into a queue that is "
        "full, from an iterator, and from rows of another table.",
        ["new_keys", "duplicates", "full_queue", "streams", "transfers"],
    ),
    Part(
        "Periodic jobs",
        "A tick as a task runs it: in a process of its own, over 10,000 jobs, each with a cron expression of "
        "its own.",
        ["ticks"],
    ),
    Part(
        "Waiting",
        "From the instant at which a message is visible until somebody knows it.",
        ["wake_ups", "waiters"],
    ),
    Part("Dag runs started by messages", "", ["event_stream", "event_runs"]),
    Part("Consuming", "The work itself does nothing, so that only the consumer is measured.", ["consuming"]),
    Part("Order within groups, and pauses", "", ["in_order", "pauses"]),
    Part("Topics", "", ["topics"]),
    Part("Imports, commands and the page", "", ["imports", "commands", "page"]),
    Part(
        "How it grows",
        "The same work with more processes, jobs, queues, or archived messages.",
        ["growth"],
    ),
    Part(
        "Beside other queues in Postgres",
        "All ways run in turn on the same server with durable settings, on kept connections; the jobs do "
        "nothing. **They promise different things: read the column of uniqueness, too.**",
        ["peers"],
    ),
)


def write() -> None:
    """Write the page and its charts from what is kept."""
    kept = kept_results.kept()
    PAGE.write_text(page(kept), encoding="utf-8")
    for finding in (each for result in kept.values() for each in result.findings):
        if isinstance(finding, (Bars, Curves)):
            charts.write(finding)


def page(kept: dict[str, Result]) -> str:
    """Every part whose benchmarks were run."""
    [(usual, _)] = Counter(result.facts for result in kept.values()).most_common(1)
    lines = [TITLE.format(facts=usual)]
    for part in PARTS:
        found = [kept[name] for name in part.names if name in kept]
        if found:
            lines += [f"## {part.title}\n", *([f"{part.text}\n"] if part.text else []), *_part(found)]
            others = dict.fromkeys(result.facts for result in found if result.facts != usual)
            lines += [f"*{facts}.*\n" for facts in others]
    return "\n".join(lines)


def _part(found: Sequence[Result]) -> Iterator[str]:
    findings = [finding for result in found for finding in result.findings]
    for chart in findings:
        if isinstance(chart, (Bars, Curves)):
            for theme in charts.THEMES:
                yield f"![{chart.title}](../img/charts/{chart.name}-{theme}.svg#only-{theme})"
            yield ""
    figures = [each for each in findings if isinstance(each, Figure)]
    if figures:
        rows = [(each.what, each.required, each.measured, each.verdict) for each in figures]
        yield from [*_table(("figure", "required", "measured", "verdict"), rows), ""]
    for table in findings:
        if isinstance(table, Table):
            yield from [*_table(table.header, table.rows), ""]
            yield from [*(f"- {note}" for note in table.notes), ""]


def _table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> Iterator[str]:
    yield f"| {' | '.join(header)} |"
    yield f"|{'---|' * len(header)}"
    for row in rows:
        yield f"| {' | '.join(row)} |"


if __name__ == "__main__":
    write()
