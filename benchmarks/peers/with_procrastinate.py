"""procrastinate: `queueing_lock`, `batch_defer_jobs`, `run_worker_async`."""

from __future__ import annotations

import time
from typing import Any

import procrastinate  # type: ignore[import-not-found]

from benchmarks.peers.task import each, keys, libpq, main, message

#: How many jobs its worker runs at the same time; its default is 1.
CONCURRENCY = 10

_done = 0


def _application(arguments: dict[str, str], connections: int) -> Any:
    connector = procrastinate.PsycopgConnector(
        conninfo=libpq(arguments), min_size=connections, max_size=connections
    )
    application = procrastinate.App(connector=connector)

    @application.task(name="noop")  # type: ignore[untyped-decorator, unused-ignore]
    async def noop(**values: Any) -> None:
        global _done
        _done += 1

    return application


async def single(arguments: dict[str, str], count: int) -> list[float]:
    """One `defer_async` for each message, on a pool of one connection."""
    application = _application(arguments, 1)
    async with application.open_async():
        await application.schema_manager.apply_schema_async()
        task = application.tasks["noop"]

        async def send(number: int, key: str) -> None:
            await task.configure(queueing_lock=key).defer_async(**message(number))

        return await each(send, count)


async def bulk(arguments: dict[str, str], count: int) -> float:
    """The job manager's batch: that of a task gives all its jobs the same lock."""
    application = _application(arguments, 1)
    async with application.open_async():
        await application.schema_manager.apply_schema_async()
        return await _fill(application, count)


async def _fill(application: Any, count: int) -> float:
    started = time.perf_counter()
    task = application.tasks["noop"]
    jobs = [
        task.configure(queueing_lock=key).make_new_job(**message(number))
        for number, key in enumerate(keys(count))
    ]
    await application.job_manager.batch_defer_jobs_async(jobs)
    return time.perf_counter() - started


async def work(arguments: dict[str, str], count: int) -> float:
    """Its worker until the queue is empty; it fetches the jobs one by one."""
    application = _application(arguments, CONCURRENCY)
    async with application.open_async():
        await application.schema_manager.apply_schema_async()
        await _fill(application, count)
        started = time.perf_counter()
        await application.run_worker_async(
            wait=False, concurrency=CONCURRENCY, listen_notify=False, install_signal_handlers=False
        )
        seconds = time.perf_counter() - started
        assert _done == count
        return seconds


if __name__ == "__main__":
    main({"single": single, "bulk": bulk, "work": work})
