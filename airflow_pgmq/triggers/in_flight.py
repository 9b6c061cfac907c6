"""Messages that were read and are not settled: kept invisible, then archived, given back or buried."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from airflow_pgmq import metrics
from airflow_pgmq.core.delays import AT_ONCE, ParsedDelay
from airflow_pgmq.core.event_delivery import Held, Verdict
from airflow_pgmq.core.event_settings import StreamSettings
from airflow_pgmq.core.messages import Message
from airflow_pgmq.db.statements import Flow, Statement, consuming, queues, reading
from airflow_pgmq.hooks import PgmqHook
from airflow_pgmq.services.waiting.timing import end, within
from airflow_pgmq.triggers.outages import RetryForever

#: What the verdicts are to the metrics.
_COUNTED: dict[Verdict, str] = {"archive": "acked", "dead_letter": "dead"}

log = logging.getLogger(__name__)

#: Seconds that what is left to do may take at the end.
CLOSING_TIME = 10.0


class Holding:
    """Holds messages of one queue.

    What becomes of them is decided by others, at once, and done by a task of its own: in few statements, and
    again after an outage. All of it is fenced, so a message that is gone or somebody else's is left alone.
    """

    def __init__(self, settings: StreamSettings) -> None:
        self._settings = settings
        self._held: dict[int, Held] = {}
        self._verdicts: list[tuple[Verdict, Held]] = []
        self._decided = asyncio.Event()
        #: Set when messages have left.
        self.less = asyncio.Event()
        # A heartbeat must not hide again what is being released.
        self._writing = asyncio.Lock()
        self._tasks: list[asyncio.Task[None]] = []

    def __len__(self) -> int:
        return len(self._held)

    def has_tried_more_than(self, times: int, *, apart_from: Held | None) -> bool:
        """Whether a message is held that was tried more often."""
        return any(held.message.tries > times for held in self._held.values() if held is not apart_from)

    def start(self) -> None:
        """Begin to work."""
        self._tasks = [asyncio.create_task(self._keep_invisible()), asyncio.create_task(self._settle())]

    async def close(self) -> None:
        """Do what was decided; give back what was not, for another triggerer to read."""
        await end(self._tasks)
        decided = {id(held) for _, held in self._verdicts}
        self._verdicts += [("return", held) for held in self._held.values() if id(held) not in decided]
        with suppress(Exception):
            await within(self._carry_out(), CLOSING_TIME)

    def add(self, message: Message) -> Held | None:
        """Hold a message; None if it was held already."""
        held = self._held.get(message.msg_id)
        if held is not None and not self._gives_back(held):
            # It came back while it was outstanding, after an outage: ours still, with another read_ct.
            held.message = message
            return None
        held = self._held[message.msg_id] = Held(message)
        return held

    def decide(self, verdict: Verdict, held: Held) -> None:
        """Say what becomes of a message."""
        self._verdicts.append((verdict, held))
        self._decided.set()

    def _gives_back(self, held: Held) -> bool:
        """Whether it was decided to give it back, so that a read of it is a new one."""
        backwards = ("release", "put_off", "return")
        return any(each is held and verdict in backwards for verdict, each in self._verdicts)

    async def _keep_invisible(self) -> None:
        retry = RetryForever(log, f"Queue {self._settings.queue_name}, keeping messages invisible")
        while True:
            await asyncio.sleep(self._settings.visibility_timeout / 3)
            try:
                async with self._writing:
                    await self._extend()
            except Exception as exc:
                await retry.endure(exc)
            else:
                retry.succeeded()

    async def _extend(self) -> None:
        """Make what is held visible later; forget what is gone or was read by somebody else."""
        ours = {msg_id: held.message for msg_id, held in self._held.items()}
        if not ours:
            return
        watcher = await PgmqHook(self._settings.pgmq_conn_id).watcher()
        timeout = ParsedDelay(self._settings.visibility_timeout)
        extended: list[int] = await watcher.run(
            reading.set_vt(self._settings.queue_name, list(ours.values()), timeout)
        )
        for msg_id in ours.keys() - set(extended):
            if (held := self._held.get(msg_id)) and held.message is ours[msg_id]:
                del self._held[msg_id]
                self.less.set()

    async def _settle(self) -> None:
        retry = RetryForever(log, f"Queue {self._settings.queue_name}, settling messages")
        while True:
            await self._decided.wait()
            self._decided.clear()
            try:
                async with self._writing:
                    await self._carry_out()
            except Exception as exc:
                self._decided.set()
                await retry.endure(exc)
            else:
                retry.succeeded()

    async def _carry_out(self) -> None:
        """One statement for each kind of verdict; doing it twice does no harm."""
        verdicts = self._verdicts.copy()
        watcher = await PgmqHook(self._settings.pgmq_conn_id).watcher()
        for kind, work in self._works.items():
            if concerned := [held for verdict, held in verdicts if verdict == kind]:
                done = await watcher.run(work(concerned))
                if kind in _COUNTED:
                    metrics.settled(self._settings.queue_name, **{_COUNTED[kind]: len(done)})
        self._verdicts = self._verdicts[len(verdicts) :]
        for _, held in verdicts:
            if self._held.get(held.message.msg_id) is held:
                del self._held[held.message.msg_id]
        self.less.set()

    @property
    def _works(self) -> dict[Verdict, Callable[[list[Held]], Any]]:
        queue_name, delay = self._settings.queue_name, ParsedDelay(self._settings.unmatched_delay)
        return {
            "archive": lambda held: reading.archive(queue_name, _messages(held)),
            "release": lambda held: reading.set_vt(queue_name, _messages(held), AT_ONCE),
            "put_off": lambda held: _untried(queue_name, held, delay),
            "return": lambda held: _untried(queue_name, held, AT_ONCE),
            # A function that makes the flow: after an outage it is begun anew.
            "dead_letter": lambda held: lambda: self._bury(held),
        }

    def _bury(self, held: list[Held]) -> Flow[list[int]]:
        """Move messages to the dead-letter queue, which is made if it is missing, in one transaction."""
        name = self._settings.dead_letters
        if (yield queues.missing([name])):
            yield from consuming.make_dead_letter_queue(name)
        reasons = [each.refusal or "no watcher wants it" for each in held]
        moved: list[int] = yield consuming.dead_letter(
            self._settings.queue_name, name, _messages(held), reasons
        )
        return moved


def _untried(queue_name: str, held: list[Held], delay: ParsedDelay) -> Statement[list[int]]:
    """Give messages back that no watcher has refused and that ended nobody: that is no failure of theirs."""
    each = len(held)
    return consuming.release_each(queue_name, _messages(held), [delay] * each, [True] * each)


def _messages(held: list[Held]) -> list[Message]:
    return [each.message for each in held]
