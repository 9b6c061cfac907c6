"""Queues: their length, age, rates and problems."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta, timezone
from typing import Any, NamedTuple

from airflow_pgmq.core import names, problems, queue_shape, rates
from airflow_pgmq.core.messages import Row
from airflow_pgmq.core.problems import Problem
from airflow_pgmq.core.queue_counts import Counts, Table
from airflow_pgmq.db.client import Client, Connection
from airflow_pgmq.db.statements import groups, incarnations, maintenance
from airflow_pgmq.db.statements import overview as statements
from airflow_pgmq.errors import QueueNotFound
from airflow_pgmq.services import sampling
from airflow_pgmq.services.overview import installed

MINUTES = 60
#: The ranges of a chart: how far back, and the step between two points.
RANGES = {
    "hour": (timedelta(hours=1), timedelta(minutes=1)),
    "day": (timedelta(days=1), timedelta(minutes=10)),
    "week": (timedelta(days=7), timedelta(hours=1)),
}


def queues(client: Client, conn: Connection | None = None) -> dict[str, Any]:
    """All queues, and what is wrong with the database as a whole.

    It takes a few statements, for any number of queues. Tables are counted while that is cheap; the others
    are estimated from statistics and a sample of their pages, and marked as estimated.
    """
    with client.connection(conn) as current:
        known = client.run(lambda: statements.briefly(statements.tables()), current)
        counted = sampling.count(client, current, known.tables, known.now)
        archived = sampling.archived(client, current, known.tables)
        has_schema = client.run(installed.is_current, current)
        samples = client.run(statements.recent_samples, current) if has_schema else {}
        newest = client.run(maintenance.newest_sample, current) if has_schema else None
        jobs = client.run(statements.jobs_by_queue, current) if has_schema else {}
        recreated = client.run(incarnations.recreated, current) if has_schema else {}
    wrong = list(queue_shape.unusable(known.unusable))
    if known.hidden:
        wrong.append(problems.hidden(known.hidden, known.role))
    if known.tables:
        wrong += problems.of_schema(installed=has_schema, maintained=newest, now=known.now)
    found = queue_shape.problems(known.tables)
    return {
        "at": known.now,
        "queues": [
            _queue(
                _known(table, known.role, found[name], recreated), counted, archived, samples.get(name), jobs
            )
            for table in known.tables
            for name in [table.queue_name]
        ],
        "problems": [problem.as_dict() for problem in wrong],
        "maintained": newest,
    }


def queue(
    client: Client, queue_name: str, range_: str = "hour", conn: Connection | None = None
) -> dict[str, Any]:
    """One queue with its history.

    :param range_: of `RANGES`
    :raises QueueNotFound: there is no queue of that name
    """
    span, step = RANGES[range_]
    names.queue(queue_name)
    with client.connection(conn) as current:
        known = client.run(lambda: statements.briefly(statements.tables(queue_name)), current)
        if not known.tables:
            raise QueueNotFound(queue_name)
        dead_letter_queue = names.dead_letter_queue(queue_name)
        dead = client.run(lambda: statements.briefly(statements.tables(dead_letter_queue)), current)
        counted = sampling.count(client, current, [*known.tables, *dead.tables], known.now)
        archived = sampling.archived(client, current, known.tables)
        samples: dict[str, Row] = {}
        jobs: Mapping[str, int] = {}
        past: list[Row] = []
        recreated: Mapping[str, Row] = {}
        if client.run(installed.is_current, current):
            samples = client.run(lambda: statements.recent_samples(queue_name), current)
            jobs = client.run(statements.jobs_by_queue, current)
            past = client.run(lambda: statements.history(queue_name, span=span, step=step), current)
            recreated = client.run(lambda: incarnations.recreated(queue_name), current)
        ordered = client.run(lambda: groups.is_ordered(queue_name), current)
    (table,) = known.tables
    own = _known(table, known.role, queue_shape.problems(known.tables)[queue_name], recreated)
    found = _queue(own, counted, archived, samples.get(queue_name), jobs)
    return {**found, "at": known.now, "ordered": ordered, "history": _history(past, known.now, span, step)}


class _Known(NamedTuple):
    """A queue in the catalogue, and its problems."""

    table: Table
    role: str
    problems: Sequence[Problem]


def _known(table: Table, role: str, found: Sequence[Problem], recreated: Mapping[str, Row]) -> _Known:
    row = recreated.get(table.queue_name)
    return _Known(table, role, found if row is None else [*found, problems.recreated(row)])


def _queue(
    known: _Known,
    counted: Mapping[str, Counts],
    archived: Mapping[str, int],
    sample: Row | None,
    jobs: Mapping[str, int],
) -> dict[str, Any]:
    table, name = known.table, known.table.queue_name
    counts = counted[name]
    dead_letter_queue = names.dead_letter_queue(name)
    dead = counted.get(dead_letter_queue)
    arrivals, completions = _rates(sample)
    facts = problems.QueueFacts(
        queue_name=name,
        is_dead_letter_queue=names.is_dead_letter_queue(name),
        waiting=counts.waiting,
        completed=rates.total(completions),
        known_minutes=rates.known(completions),
        ever_removed=table.deleted,
        dead_letters=dead.length if dead else 0,
        dead_letters_estimated=dead is not None and dead.estimated,
        dead_letter_queue=dead_letter_queue if dead else None,
        readable=table.own.readable or not table.own.is_table,
        hidden=table.own.hidden,
        role=known.role,
        paused=table.paused is not None,
        found=[*known.problems, *([counts.problem] if counts.problem else [])],
        broken_guard=table.broken_guard,
    )
    return {
        "queue_name": name,
        "is_unlogged": table.is_unlogged,
        "is_partitioned": table.is_partitioned,
        "created_at": table.created_at,
        "paused": None if table.paused is None else table.paused.as_dict(),
        "length": counts.length,
        "visible": counts.visible,
        "in_flight": counts.in_flight,
        "delayed": counts.delayed,
        "estimated": counts.estimated,
        "archived": archived.get(name, table.archived),
        "archived_estimated": name not in archived,
        "dead_letters": facts.dead_letters,
        "dead_letters_estimated": facts.dead_letters_estimated,
        "dead_letter_queue": facts.dead_letter_queue,
        "is_dead_letter_queue": facts.is_dead_letter_queue,
        "oldest_age": counts.oldest_age,
        "arrivals": arrivals,
        "completions": completions,
        "jobs": jobs.get(name, 0),
        "problems": [problem.as_dict() for problem in problems.of_queue(facts)],
    }


def _rates(sample: Row | None) -> tuple[list[float | None], list[float | None]]:
    if sample is None:
        return [None] * MINUTES, [None] * MINUTES
    taken = sorted(zip(sample["ages"], sample["inserted"], sample["deleted"], strict=True), reverse=True)
    ages, inserted, deleted = zip(*taken, strict=True)
    return rates.per_minute(ages, inserted, MINUTES), rates.per_minute(ages, deleted, MINUTES)


def _history(past: Sequence[Row], now: datetime, span: timedelta, step: timedelta) -> list[dict[str, Any]]:
    """One point for each step; steps without a sample have None, where a chart draws a gap."""
    by_step = {row["at"]: row for row in past}
    last = datetime.fromtimestamp(
        now.timestamp() // step.total_seconds() * step.total_seconds(), timezone.utc
    )
    at = [last - step * ago for ago in range(span // step, -1, -1)]
    present = [(position, by_step[each]) for position, each in enumerate(at) if each in by_step]
    positions, taken = [position for position, _ in present], [row["sampled_at"] for _, row in present]
    arrivals, completions = (
        rates.per_step(positions, taken, [row[counter] for _, row in present], len(at))
        for counter in ("inserted", "deleted")
    )
    return [
        {
            "at": each,
            "length": row["length"] if (row := by_step.get(each)) else None,
            "visible": row["visible"] if row else None,
            "oldest_age": row["oldest_age"] if row else None,
            "arrivals": arrivals[position],
            "completions": completions[position],
        }
        for position, each in enumerate(at)
    ]
