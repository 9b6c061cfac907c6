"""Messages of an iterator → batches of bounded size, each checked and serialized when it is due."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import islice, zip_longest
from typing import Any, TypeAlias

from airflow_pgmq.core.batch import CHUNK, Batch, prepare
from airflow_pgmq.errors import InvalidArgument

#: A key for each message: in their order, or made from the message.
Keys: TypeAlias = "Iterable[str] | Callable[[Any], str]"

#: Messages that are taken from the iterator at a time: of the largest ones, so many are in memory.
STEP = 50
#: Characters of the messages of one statement, so that large ones do not fill the memory.
CHUNK_CHARACTERS = 4 * 1024 * 1024

_MISSING = object()


def keys_of(messages: Sequence[Any], keys: Keys | None) -> Sequence[str] | None:
    """The keys of messages that are all there."""
    made = map(keys, messages) if callable(keys) else keys
    return made if made is None or isinstance(made, Sequence) else list(made)


def batches(messages: Iterable[Any], **options: Any) -> Iterator[Batch]:
    """Take as many messages as one statement takes, again and again.

    :param options: as for `prepare`; headers, delays and keys may be iterables with one for each message, and
        keys a function of the message
    :raises InvalidArgument: one of them has more or fewer items than there are messages
    """
    columns = {name: value for name, value in options.items() if _is_for_each(value)}
    constant = {name: value for name, value in options.items() if name not in columns}
    make_key = constant.pop("dedup_keys") if callable(constant.get("dedup_keys")) else None
    rows = zip_longest(messages, *columns.values(), fillvalue=_MISSING)
    pending: list[Batch] = []
    while step := list(islice(rows, min(STEP, CHUNK - sum(map(len, pending))))):
        if any(value is _MISSING for row in step for value in row):
            raise InvalidArgument(
                f"messages, {', '.join(columns)} are not equally long. What earlier statements sent is sent."
            )
        some, *others = ([*column] for column in zip(*step, strict=True))
        each: dict[str, Any] = dict(zip(columns, others, strict=True))
        if make_key is not None:
            each["dedup_keys"] = [make_key(message) for message in some]
        pending.append(prepare(some, **constant, **each))
        if sum(map(len, pending)) >= CHUNK or sum(map(_characters, pending)) >= CHUNK_CHARACTERS:
            yield joined(pending)
            pending = []
    if pending:
        yield joined(pending)


def _is_for_each(value: Any) -> bool:
    return isinstance(value, Iterable) and not isinstance(value, (str, Mapping))


def joined(parts: Sequence[Batch]) -> Batch:
    """Several batches with the same options as one."""

    def column(name: str, empty: Any) -> Any:
        found = [getattr(part, name) for part in parts]
        if all(each is None for each in found):
            return None
        return [
            value for part, each in zip(parts, found, strict=True) for value in (each or [empty] * len(part))
        ]

    first = parts[0]
    return Batch(
        [text for part in parts for text in part.messages],
        first.common_headers,
        column("headers", "{}"),
        column("keys", None),
        column("seconds", 0.0),
        column("instants", None),
        first.ttl,
    )


def _characters(batch: Batch) -> int:
    return sum(map(len, batch.messages))
