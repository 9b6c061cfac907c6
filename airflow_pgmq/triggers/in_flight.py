"""Messages in flight: kept invisible until they are archived, released or dead-lettered."""

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

#: The metric that counts a verdict.
_COUNTED: dict[Verdict, str] = {"archive": "acked", "dead_letter": "dead"}

log = logging.getLogger(__name__)

#: Seconds that the remaining work may take when the stream closes.
CLOSING_TIME = 10.0


class InFlight:
    """Holds the messages in flight of one queue.

    `decide` only stores a verdict. A background task carries the verdicts out, in few statements, and again
    after an outage. All statements are fenced: a message that is gone or was read by others is left alone.
    """

    def __init__(self, settings: StreamSettings) -> None:
        self._settings = settings
        self._held: dict[int, Held] = {}
        self._verdicts: list[tuple[Verdict, Held]] = []
        self._decided = asyncio.Event()
        #: Set when there are fewer messages.
        self.fewer = asyncio.Event()
        # Held while writing: a heartbeat must not hide messages again that are being released.
        self._writing = asyncio.Lock()
        self._tasks: list[asyncio.Task[None]] = []

    def __len__(self) -> int:
        return len(self._held)

    def has_tried_more_than(self, times: int, *, apart_from: Held | None) -> bool:
        """Whether it holds a message that was tried more often than this."""
        return any(held.message.tries > times for held in self._held.values() if held is not apart_from)

    def start(self) -> None:
        """Start the background tasks: the heartbeat and the settling of messages."""
        self._tasks = [asyncio.create_task(self._keep_invisible()), asyncio.create_task(self._settle())]

    async def close(self) -> None:
        """Carry out the verdicts; give all other messages back, for another triggerer to read."""
        await end(self._tasks)
        decided = {id(held) for _, held in self._verdicts}
        self._verdicts += [("return", held) for held in self._held.values() if id(held) not in decided]
        with suppress(Exception):
            await within(self._carry_out(), CLOSING_TIME)

    def add(self, message: Message) -> Held | None:
        """Hold a message; return None if it is held already."""
        held = self._held.get(message.msg_id)
        if held is not None and not self._is_given_back(held):
            # After an outage it became visible and was read again: still held here, with a higher read_ct.
            held.message = message
            return None
        held = self._held[message.msg_id] = Held(message)
        return held

    def decide(self, verdict: Verdict, held: Held) -> None:
        """Store the verdict on a message."""
        self._verdicts.append((verdict, held))
        self._decided.set()

    def _is_given_back(self, held: Held) -> bool:
        """Whether the verdict is to give it back, so that reading it again counts as a new message."""
        backwards = ("retry", "release", "return")
        return any(each is held and verdict in backwards for verdict, each in self._verdicts)

    async def _keep_invisible(self) -> None:
        retry = RetryForever(log, f"Queue {self._settings.queue_name}, keeping messages invisible")
        while True:
            await asyncio.sleep(self._settings.visibility_timeout / 3)
            try:
                async with self._writing:
                    await self._extend()
            except Exception as exc:
                await retry.log_and_wait(exc)
            else:
                retry.succeeded()

    async def _extend(self) -> None:
        """Extend the invisibility of the held messages; forget those that are gone or read by others."""
        messages = {msg_id: held.message for msg_id, held in self._held.items()}
        if not messages:
            return
        watcher = await PgmqHook(self._settings.pgmq_conn_id).watcher()
        timeout = ParsedDelay(self._settings.visibility_timeout)
        extended: list[int] = await watcher.run(
            reading.set_vt(self._settings.queue_name, list(messages.values()), timeout)
        )
        for msg_id in messages.keys() - set(extended):
            if (held := self._held.get(msg_id)) and held.message is messages[msg_id]:
                del self._held[msg_id]
                self.fewer.set()

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
                await retry.log_and_wait(exc)
            else:
                retry.succeeded()

    async def _carry_out(self) -> None:
        """Run one statement for each kind of verdict; running it twice does no harm."""
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
        self.fewer.set()

    @property
    def _works(self) -> dict[Verdict, Callable[[list[Held]], Any]]:
        queue_name, delay = self._settings.queue_name, ParsedDelay(self._settings.unmatched_delay)
        return {
            "archive": lambda held: reading.archive(queue_name, _messages(held)),
            "retry": lambda held: reading.set_vt(queue_name, _messages(held), AT_ONCE),
            "release": lambda held: _untried(queue_name, held, delay),
            "return": lambda held: _untried(queue_name, held, AT_ONCE),
            # A function that makes the flow, so that it can start again after an outage.
            "dead_letter": lambda held: lambda: self._dead_letter(held),
        }

    def _dead_letter(self, held: list[Held]) -> Flow[list[int]]:
        """Move messages to the dead letter queue, which is created if missing, in one transaction."""
        name = self._settings.dead_letters
        if (yield queues.missing([name])):
            yield from consuming.make_dead_letter_queue(name)
        reasons = [each.refusal or "no asset watcher wants it" for each in held]
        moved: list[int] = yield consuming.dead_letter(
            self._settings.queue_name, name, _messages(held), reasons
        )
        return moved


def _untried(queue_name: str, held: list[Held], delay: ParsedDelay) -> Statement[list[int]]:
    """Give messages back untried: no asset watcher refused them, none failed; the read does not count."""
    each = len(held)
    return consuming.release_each(queue_name, _messages(held), [delay] * each, [True] * each)


def _messages(held: list[Held]) -> list[Message]:
    return [each.message for each in held]
