"""Events a second through the acked stream, on Airflow's own manager and one event loop."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import suppress
from statistics import median
from typing import Any

from benchmarks.findings import Figure
from benchmarks.measure import Stopwatch
from benchmarks.stage import Database, Stage

CAPS = (20, 100, 500)

#: The triggerer tells its runner about once a second which events are stored.
CONFIRM_EVERY = 1.0
TRIGGER_ID = 1


def run(stage: Stage) -> Iterator[Figure]:
    """Measure with the triggerer's confirmations, and with immediate ones."""
    try:
        import airflow_pgmq.triggers.shared_stream  # noqa: F401
    except Exception:  # Airflow before 3.3
        return
    database = stage.database("event_stream")
    for every, what in (
        (CONFIRM_EVERY, "confirmed once a second, as the triggerer does"),
        (0.01, "confirmed at once"),
    ):
        rates = []
        for cap in CAPS:
            stage.progress(f"{what}, cap {cap}")
            # A few rounds of confirmation are enough.
            count = cap * 6 if every == CONFIRM_EVERY else 3000
            rounds = 1 if every == CONFIRM_EVERY else stage.rounds
            rates.append(median(_rate(database, cap, count, every) for _ in range(rounds)))
        yield Figure(
            f"events a second, one for each message, at most {', '.join(map(str, CAPS))} in flight; {what}",
            "for comparison",
            ", ".join(f"{rate:,.0f}" for rate in rates),
            None,
        )


def _rate(database: Database, cap: int, count: int, confirm_every: float) -> float:
    queue_name = database.new_queue()
    database.hook.send_batch(queue_name, [{"n": n} for n in range(count)])
    return asyncio.run(_drain(database.hook.pgmq_conn_id, queue_name, cap, count, confirm_every))


async def _drain(conn_id: str, queue_name: str, cap: int, count: int, confirm_every: float) -> float:
    from airflow.triggers.shared_stream import SharedStreamManager

    from airflow_pgmq.triggers import PgmqEventTrigger

    trigger = PgmqEventTrigger(
        queue_name=queue_name, deliver="payload", max_in_flight=cap, pgmq_conn_id=conn_id, quiet_after=60
    )
    manager, key, seqs = SharedStreamManager(), trigger.shared_stream_key(), list[Any]()
    stream = manager.subscribe(trigger_id=TRIGGER_ID, trigger=trigger, key=key)

    async def confirm() -> None:
        while True:
            await asyncio.sleep(confirm_every)
            manager.confirm_persisted(seqs.copy())
            seqs.clear()

    confirming = asyncio.create_task(confirm())
    events = trigger.filter_shared_stream(stream)

    async def take(number: int) -> None:
        for _ in range(number):
            await anext(events)
            seqs.append(manager.bind_pending_event(trigger_id=TRIGGER_ID, key=key))

    try:
        # The first ones need no confirmation of others.
        await take(cap)
        with Stopwatch() as watch:
            await take(count - cap)
    finally:
        confirming.cancel()
        with suppress(asyncio.CancelledError):
            await confirming
        await manager.unsubscribe(TRIGGER_ID, key)
    return (count - cap) / watch.seconds
