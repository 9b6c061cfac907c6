"""What happens to a message after the work on it: the outcomes that a consuming function may return."""

from __future__ import annotations

import traceback
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

from airflow_pgmq.core.delays import Delay, ParsedDelay, parse
from airflow_pgmq.core.messages import Message
from airflow_pgmq.errors import InvalidOutcome, text_of

Kind = Literal["ack", "retry", "dead"]
Decided: TypeAlias = "tuple[Message, Outcome]"


@dataclass(frozen=True, slots=True)
class Outcome:
    """What to do with one message; `None`, 'ack', 'retry' and 'dead' are short for the plain ones."""

    kind: Kind
    #: For `retry`; None: by the back-off of the consumer.
    delay: ParsedDelay | None = None
    #: For `dead`: the reason in its headers.
    reason: str | None = None

    def __post_init__(self) -> None:
        if self.delay is not None:
            # An Outcome made without `retry` may have any form of delay.
            object.__setattr__(self, "delay", parse(self.delay))

    @classmethod
    def ack(cls) -> Outcome:
        """Done: archive it, or delete it, as the consumer does."""
        return cls("ack")

    @classmethod
    def retry(cls, delay: Delay = None) -> Outcome:
        """Give it back; visible again after `delay` (seconds, timedelta or instant), or by the back-off."""
        return cls("retry", delay=None if delay is None else parse(delay))

    @classmethod
    def dead(cls, reason: str) -> Outcome:
        """Move it to the dead letter queue now, whatever `max_reads` says."""
        return cls("dead", reason=reason)


_WORDS = {None: Outcome("ack"), "ack": Outcome("ack"), "retry": Outcome("retry"), "dead": Outcome("dead")}


def decide(returned: Any, messages: Sequence[Message]) -> list[Decided]:
    """What a function returned → the outcome of each message that it was given.

    One outcome applies to all; a mapping is by `msg_id`, and messages that it lacks are acked; a list has one
    for each, in their order. Anything else is an error, since a guess could ack the wrong messages.
    """
    if isinstance(returned, Mapping):
        unknown = set(returned) - {message.msg_id for message in messages}
        if unknown:
            raise InvalidOutcome(
                f"The outcomes name messages that were not given: {sorted(unknown, key=str)}."
            )
        return [(message, _outcome(returned.get(message.msg_id))) for message in messages]
    if isinstance(returned, (list, tuple)):
        if len(returned) != len(messages):
            raise InvalidOutcome(f"{len(returned)} outcomes were returned for {len(messages)} messages.")
        return [(message, _outcome(each)) for message, each in zip(messages, returned, strict=True)]
    outcome = _outcome(returned)
    return [(message, outcome) for message in messages]


def _outcome(value: Any) -> Outcome:
    if isinstance(value, Outcome):
        return value
    if (value is None or isinstance(value, str)) and (found := _WORDS.get(value)) is not None:
        return found
    raise InvalidOutcome(
        f"A consuming function returned {value!r}. Return nothing to ack, or an Outcome (or 'ack', 'retry', "
        "'dead'); for several messages also a list with one for each, or a mapping from msg_id to them."
    )


def reason(exc: BaseException) -> str:
    """An exception as a dead letter's reason: type and text, in characters that `jsonb` takes."""
    text = f"{type(exc).__name__}: {text_of(exc)}".replace("\x00", "�")
    return text.encode(errors="replace").decode()[:2000]


def for_log(exc: Exception) -> Exception | None:
    """An exception whose traceback can be logged; None for one with a lone surrogate in its text.

    Airflow's task log would raise for that one, while we handle it.
    """
    try:
        "".join(traceback.format_exception(exc)).encode()
    except UnicodeEncodeError:
        return None
    return exc
