"""The hook's methods for messages."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import timedelta
from typing import Any, TypeAlias, TypeVar, overload

from airflow_pgmq import metrics
from airflow_pgmq.core import message_stream
from airflow_pgmq.core.batch import prepare
from airflow_pgmq.core.consumer_policy import Ack
from airflow_pgmq.core.dedup import DEDUP_WINDOW, OnDuplicate, Scope
from airflow_pgmq.core.delays import Delay, Ttl, parse, whole_seconds
from airflow_pgmq.core.message_stream import Keys
from airflow_pgmq.core.messages import Message, references
from airflow_pgmq.core.send_results import SendResult
from airflow_pgmq.db.client import Connection
from airflow_pgmq.db.statements import Work, consuming, groups, reading, sending
from airflow_pgmq.db.statements.inspection import Source
from airflow_pgmq.db.statements.reading import Messages
from airflow_pgmq.hooks.connection import ConnectionBase
from airflow_pgmq.services import ordering, overview, sending_stream
from airflow_pgmq.services.consuming import KeptConnection
from airflow_pgmq.services.sending import send

T = TypeVar("T")

#: One value for all messages, or one for each.
Each: TypeAlias = "T | Iterable[T]"


class MessageMethods(ConnectionBase):
    """Send, read and ack."""

    def send(
        self,
        queue_name: str,
        message: Any,
        *,
        headers: Mapping[str, Any] | None = None,
        delay: Delay = None,
        ttl: Ttl = None,
        group: str | None = None,
        dedup_key: str | None = None,
        dedup_scope: Scope = "once",
        dedup_window: timedelta = DEDUP_WINDOW,
        on_duplicate: OnDuplicate = "skip",
        conn: Connection | None = None,
    ) -> SendResult:
        """Send one message; with a dedup key at most once.

        :param queue_name: an existing queue
        :param message: any JSON value, or a value with one JSON form (docs/reference/values.md)
        :param headers: a JSON object that travels with the message
        :param delay: seconds, a timedelta or an instant until which the message stays invisible
        :param ttl: seconds or a timedelta from when it becomes visible, after which our consumers archive it
            unprocessed (header `expires_at`, by the database's clock); None: it does not expire
        :param group: FIFO group, the header `x-pgmq-group`
        :param dedup_key: at most 255 characters; also stored as the header `dedup_key`
        :param dedup_scope: `once`: one message per key within the window, also after it was consumed;
            `queued`: one at a time in the queue, by a unique index
        :param dedup_window: how long `once` remembers the key, from the instant the message becomes visible
        :param on_duplicate: `skip` it, `replace` the waiting message if nobody has read it, or `fail`
        :param conn: join this connection's transaction
        :return: what happened, and the message that has the key
        :raises InvalidMessage: Postgres would refuse the JSON, or it is too large
        :raises DuplicateMessage: with `on_duplicate="fail"`
        :raises GuardMissing: `queued` is not possible on this queue
        """
        batch = prepare(
            [message],
            headers=headers,
            delays=delay,
            dedup_keys=None if dedup_key is None else [dedup_key],
            group=group,
            ttl=ttl,
            max_bytes=self._max_message_bytes,
        )
        (result,) = send(
            self.client,
            queue_name,
            batch,
            scope=dedup_scope,
            on_duplicate=on_duplicate,
            window=dedup_window,
            conn=conn,
        )
        metrics.sent(queue_name, int(result.status == "sent"), int(result.status == "duplicate"))
        return result

    @overload
    def send_batch(
        self,
        queue_name: str,
        messages: Sequence[Any],
        *,
        headers: Each[Mapping[str, Any] | None] = ...,
        delays: Each[Delay] = ...,
        ttl: Ttl = ...,
        group: str | None = ...,
        dedup_keys: Keys | None = ...,
        dedup_scope: Scope = ...,
        dedup_window: timedelta = ...,
        on_duplicate: OnDuplicate = ...,
        conn: Connection | None = ...,
    ) -> list[SendResult]: ...

    @overload
    def send_batch(
        self,
        queue_name: str,
        messages: Iterator[Any],
        *,
        headers: Each[Mapping[str, Any] | None] = ...,
        delays: Each[Delay] = ...,
        ttl: Ttl = ...,
        group: str | None = ...,
        dedup_keys: Keys | None = ...,
        dedup_scope: Scope = ...,
        dedup_window: timedelta = ...,
        on_duplicate: OnDuplicate = ...,
        conn: Connection | None = ...,
    ) -> dict[str, int]: ...

    def send_batch(
        self,
        queue_name: str,
        messages: Sequence[Any] | Iterator[Any],
        *,
        headers: Each[Mapping[str, Any] | None] = None,
        delays: Each[Delay] = None,
        ttl: Ttl = None,
        group: str | None = None,
        dedup_keys: Keys | None = None,
        dedup_scope: Scope = "once",
        dedup_window: timedelta = DEDUP_WINDOW,
        on_duplicate: OnDuplicate = "skip",
        conn: Connection | None = None,
    ) -> list[SendResult] | dict[str, int]:
        """Send many messages, in statements of up to 5,000; everything is checked before the first is sent.

        Without keys, with `fail` and with `conn=`, all are sent or none. Otherwise each chunk is committed
        separately: after a crash send the same batch again, and what was sent before is a duplicate.

        An iterator is taken chunk by chunk, so any number of messages needs little memory. Each chunk is
        checked and committed by itself, also without keys; the log has a line of progress every ten seconds.

        :param queue_name: an existing queue
        :param messages: JSON values, or an iterator (such as a generator) of them
        :param headers: of all messages, or one mapping (or None) for each; beside an iterator an iterable
        :param delays: of all messages, or one for each: seconds, a timedelta or an instant
        :param ttl: of all messages, as for `send`
        :param group: FIFO group of all messages
        :param dedup_keys: one for each message, or a function that makes it of the message; equal keys inside
            the batch are duplicates
        :param dedup_scope: as for `send`
        :param dedup_window: as for `send`
        :param on_duplicate: as for `send`
        :param conn: join this connection's transaction; several batches in one transaction can deadlock with
            those of another one: send them as one batch
        :return: a result for each message, in the order of the messages; for an iterator the counts `sent`,
            `duplicates` and `replaced`
        :raises InvalidMessage: Postgres would refuse one of them; nothing was sent, of an iterator nothing of
            its chunk and of later ones
        :raises DuplicateMessage: with `on_duplicate="fail"`, not possible for an iterator without `conn=`;
            nothing was sent
        """
        parts: dict[str, Any] = {"headers": headers, "delays": delays, "group": group, "ttl": ttl}
        parts["max_bytes"] = self._max_message_bytes
        options: dict[str, Any] = {"scope": dedup_scope, "window": dedup_window}
        options |= {"on_duplicate": on_duplicate, "conn": conn}

        def tell(results: Sequence[SendResult]) -> None:
            counts = Counter(result.status for result in results)
            metrics.sent(queue_name, counts["sent"], counts["duplicate"])

        if isinstance(messages, Iterator):
            stream = message_stream.batches(messages, dedup_keys=dedup_keys, **parts)
            return sending_stream.send(self.client, queue_name, stream, tell=tell, **options)
        if not messages:
            return []
        batch = prepare(messages, dedup_keys=message_stream.keys_of(messages, dedup_keys), **parts)
        results = send(self.client, queue_name, batch, **options)
        tell(results)
        return results

    def read(
        self,
        queue_name: str,
        *,
        max_messages: int = 1,
        visibility_timeout: float | timedelta = 30,
        condition: Mapping[str, Any] | None = None,
        headers_condition: Mapping[str, Any] | None = None,
        ordered: bool = False,
        conn: Connection | None = None,
    ) -> list[Message]:
        """Read visible messages, oldest first, and hide them from others for a while.

        :param queue_name: the queue
        :param max_messages: at most this many; with `ordered` never more than 250
        :param visibility_timeout: seconds or a timedelta, after which they are visible again unless acked
        :param condition: only messages that contain this (jsonb `@>`)
        :param headers_condition: only messages whose headers contain this
        :param ordered: of each group (`group=` of `send`), only the next message, once no other one of it is
            out: see docs/guides/ordering.md. The first such read makes an index
        :param conn: join this connection's transaction
        :raises GroupIndexMissing: the index is missing, and only the owner of the queue's table may make it
        """
        options: dict[str, Any] = {
            "max_messages": max_messages,
            "visibility_timeout": whole_seconds(visibility_timeout),
            "condition": condition,
            "headers_condition": headers_condition,
        }
        if ordered:
            place = ordering.cursor(self.client, queue_name)
            return self.client.run(lambda: groups.read(queue_name, place, **options), conn)
        return self.client.run(lambda: reading.read(queue_name, **options), conn)

    def peek(
        self,
        queue_name: str,
        *,
        source: Source = "queue",
        msg_id: int | None = None,
        dedup_key: str | None = None,
        job: str | None = None,
        after: int | None = None,
        limit: int = 10,
        conn: Connection | None = None,
    ) -> list[Message]:
        """Return messages without reading them: nothing changes. Includes delayed ones and those in flight.

        Payloads come complete and unredacted: `[pgmq] redact_keys` is for printed output. A search by key or
        job scans the queue until it has found enough, 20,000 messages at a time.

        :param queue_name: the queue; dead letters are in their own queue
        :param source: its messages, oldest first (`queue`), or its `archive`, newest first
        :param msg_id: only this message
        :param dedup_key: only the message that has this key
        :param job: only messages of this periodic job, `name` or `namespace/name`
        :param after: continue after this id; in the archive, with smaller ids
        :param limit: at most this many
        :param conn: join this connection's transaction
        :raises QueueNotFound: there is no such queue
        """
        search = overview.Search(
            queue_name=queue_name,
            source=source,
            msg_id=msg_id,
            dedup_key=dedup_key,
            job=job,
            after=after,
            limit=limit,
        )
        return overview.peek(self.client, search, conn=conn)

    def get_messages(
        self, queue_name: str, msg_ids: Iterable[int], *, conn: Connection | None = None
    ) -> list[Message]:
        """Messages by their ids, from the queue or its archive, without reading; deleted ones are left out.

        :param queue_name: the queue
        :param msg_ids: for example of messages that a task got by reference
        :param conn: join this connection's transaction
        :return: in the order of the ids
        """
        return self.client.run(lambda: reading.by_id(queue_name, msg_ids), conn)

    def pop(self, queue_name: str, *, max_messages: int = 1, conn: Connection | None = None) -> list[Message]:
        """Read and delete in one step: if the reader fails, they are lost. Prefer `read` and `archive`.

        :param queue_name: the queue
        :param max_messages: at most this many; more than one needs PGMQ 1.7
        :param conn: join this connection's transaction: a rollback keeps the messages
        """
        return self.client.run(lambda: reading.pop(queue_name, max_messages), conn)

    def archive(self, queue_name: str, messages: Messages, *, conn: Connection | None = None) -> list[int]:
        """Ack: move messages to the queue's archive.

        :param queue_name: the queue
        :param messages: `Message` objects, fenced: one that another reader has read since is left alone; or
            only ids, not fenced
        :param conn: join this connection's transaction
        :return: the ids that were archived
        """
        return self._ack(queue_name, messages, "archive", conn)

    def delete(self, queue_name: str, messages: Messages, *, conn: Connection | None = None) -> list[int]:
        """Ack by deleting messages instead of archiving them. Parameters as for `archive`."""
        return self._ack(queue_name, messages, "delete", conn)

    def release(
        self,
        queue_name: str,
        messages: Messages,
        *,
        delay: Delay = None,
        untried: bool = False,
        conn: Connection | None = None,
    ) -> list[int]:
        """Give messages back, visible at once or after `delay`. Parameters as for `archive`.

        :param untried: they were not processed, so this read does not count towards `max_reads`
        """
        held = references(messages)
        flags, delays = [untried] * len(held), [parse(delay)] * len(held)
        return self._settle(lambda again: consuming.release_each(queue_name, held, delays, flags), conn)

    def extend(
        self,
        queue_name: str,
        messages: Messages,
        *,
        visibility_timeout: Delay = 30,
        conn: Connection | None = None,
    ) -> list[int]:
        """Keep messages hidden longer. Parameters as for `archive`.

        :param visibility_timeout: seconds or a timedelta from now, or the instant until which they are hidden
        """
        held, delay = references(messages), parse(visibility_timeout)
        return self._settle(lambda again: reading.set_vt(queue_name, held, delay), conn)

    def _ack(self, queue_name: str, messages: Messages, ack: Ack, conn: Connection | None) -> list[int]:
        held = references(messages)
        done = self._settle(lambda again: reading.acked(queue_name, held, ack, again=again), conn)
        metrics.settled(queue_name, acked=len(done))
        return done

    def _settle(self, make: Callable[[bool], Work[list[int]]], conn: Connection | None) -> list[int]:
        """Run fenced work; if its connection breaks before the answer, again on another connection."""
        if conn is not None:
            return self.client.run(lambda: make(False), conn)
        with KeptConnection(self.client, for_a_call=True) as kept:
            return kept.run(make)

    def cancel(
        self, queue_name: str, dedup_keys: str | Sequence[str], *, conn: Connection | None = None
    ) -> list[int]:
        """Archive unread messages, by their dedup keys. The keys stay taken.

        :param queue_name: the queue
        :param dedup_keys: one key or several
        :param conn: join this connection's transaction
        :return: the ids that were archived; a message that was read already is left to its reader
        """
        keys = [dedup_keys] if isinstance(dedup_keys, str) else list(dedup_keys)
        return self.client.run(lambda: sending.cancel(queue_name, keys), conn)
