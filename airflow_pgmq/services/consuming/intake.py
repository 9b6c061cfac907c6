"""Reads messages, and settles those that are not worked on: expired, over max_reads or unreadable."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from airflow_pgmq.core.consumer_policy import Policy
from airflow_pgmq.core.messages import Message
from airflow_pgmq.core.outcomes import Outcome
from airflow_pgmq.core.payload import Unreadable
from airflow_pgmq.errors import PermissionDenied
from airflow_pgmq.services.consuming.heartbeat import Log
from airflow_pgmq.services.consuming.settlement import Settlement

#: Fewest seconds until an unreadable message is read again, so that a drain does not read it all the time.
PAUSE = 10.0


class Intake:
    """Reads for a consumer, and settles at once the messages that are not to be worked on."""

    def __init__(self, policy: Policy, held: Settlement, log: Log, *, ignores_payload: bool) -> None:
        self._policy = policy
        self._held = held
        self._log = log
        self._ignores_payload = ignores_payload

    def read(self, max_messages: int) -> list[Message] | None:
        """What to work on; None if nothing was visible."""
        messages = self._held.read(max_messages)
        if not messages:
            return None
        self._held.take(messages)
        self._drop_expired()
        self._refuse()
        live = list(self._held.unfinished.values())
        self._held.heartbeat.hold(live)
        return live

    def _drop_expired(self) -> None:
        timeout = self._policy.visibility_timeout
        expired = [each for each in self._held.unfinished.values() if each.was_expired(timeout)]
        if expired:
            self._log.info("Archiving %d expired messages of queue %s", len(expired), self._policy.queue_name)
            with self._beside_the_others(expired):
                self._held.drop_expired(expired)

    def _refuse(self) -> None:
        reasons = [(each, why) for each in self._held.unfinished.values() if (why := self._obstacle(each))]
        if not reasons:
            return
        for message, why in reasons:
            self._log.error("Message %d of queue %s: %s", message.msg_id, self._policy.queue_name, why)
        self._held.summary.failed += len(reasons)
        with self._beside_the_others([message for message, _ in reasons]):
            self._held.settle([(message, self._fate(message, why)) for message, why in reasons])

    @contextmanager
    def _beside_the_others(self, messages: Sequence[Message]) -> Iterator[None]:
        """If the role may not settle these, the other messages are worked on all the same."""
        try:
            yield
        except PermissionDenied as exc:
            for message in messages:
                if message.msg_id in self._held.unfinished:
                    self._held.refuse(message, exc)

    def _obstacle(self, message: Message) -> str | None:
        """Why the message is not worked on; None: it is."""
        if self._policy.is_over_max_reads(message):
            limit = f"max_reads is {self._policy.max_reads}. Its readers died, or failed without an error."
            return f"Tried {message.tries} times in {message.read_ct} reads; {limit}"
        if isinstance(message.message, Unreadable) and not self._ignores_payload:
            return message.message.reason
        return None

    def _fate(self, message: Message, why: str) -> Outcome:
        if self._policy.max_reads is None:
            # Without a limit of reads there may be no dead letter queue: it comes back, later each time.
            return Outcome.retry(max(PAUSE, self._policy.delay(message)))
        return Outcome.dead(why)
