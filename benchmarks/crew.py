"""Processes that do the same work at the same time, as the workers of an installation do."""

from __future__ import annotations

import multiprocessing
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from typing import Any

#: Prepares in a worker's process, and gives the work whose time is measured. A module's function, because it
#: is sent to the process by its name.
Job = Callable[..., AbstractContextManager[Callable[[], Any]]]

#: Seconds between the order to begin and the instant at which all begin: each must have received it by then.
HEAD_START = 0.05


@dataclass(frozen=True)
class Done:
    """What several workers did together."""

    #: From the instant at which they began until the last one was ready.
    seconds: float
    results: list[Any]


class Crew:
    """Workers that are started before anything is measured: their imports take seconds."""

    def __init__(self, size: int) -> None:
        self.size = size
        self._processes: list[BaseProcess] = []
        self._pipes: list[Connection] = []

    def __enter__(self) -> Crew:
        # Not forked: a fork would share the connections and the memory of this process.
        context = multiprocessing.get_context("spawn")
        for _ in range(self.size):
            ours, theirs = context.Pipe()
            process = context.Process(target=_serve, args=[theirs], daemon=True)
            process.start()
            # If the worker ends, reading from it fails, and does not wait.
            theirs.close()
            self._processes.append(process)
            self._pipes.append(ours)
        return self

    def __exit__(self, *_: object) -> None:
        for pipe in self._pipes:
            pipe.close()
        for process in self._processes:
            process.join()

    def do(self, job: Job, arguments: Sequence[Sequence[Any]]) -> Done:
        """Let as many workers as there are arguments do the job.

        :param arguments: of the job in each worker
        """
        pipes = self._pipes[: len(arguments)]
        assert len(pipes) == len(arguments)
        for pipe, values in zip(pipes, arguments, strict=True):
            pipe.send((job, values))
        for pipe in pipes:
            pipe.recv()
        begin = time.monotonic() + HEAD_START
        for pipe in pipes:
            pipe.send(begin)
        ended, results = zip(*(pipe.recv() for pipe in pipes), strict=True)
        return Done(max(ended) - begin, list(results))


def _serve(pipe: Connection) -> None:
    """Do the jobs that are ordered, until nobody orders any."""
    while True:
        try:
            job, values = pipe.recv()
        except EOFError:
            return
        with job(*values) as work:
            pipe.send("prepared")
            # One clock for all processes of the machine.
            time.sleep(max(0.0, pipe.recv() - time.monotonic()))
            result = work()
            pipe.send((time.monotonic(), result))
