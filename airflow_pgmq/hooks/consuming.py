"""The hook's methods for consuming: consume, dead-letter, requeue."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

from airflow_pgmq import metrics
from airflow_pgmq.compat import AirflowSkipException
from airflow_pgmq.core import names
from airflow_pgmq.core.consumer_policy import Ack, Policy, Source
from airflow_pgmq.core.delays import Delay, parse, whole_seconds
from airflow_pgmq.core.groups import Group, OnDead, StoppedGroup
from airflow_pgmq.core.messages import Message, references
from airflow_pgmq.db.client import Connection
from airflow_pgmq.db.statements import consuming, groups, reading, stopped_groups
from airflow_pgmq.db.statements.reading import Messages
from airflow_pgmq.hooks.connection import ConnectionBase
from airflow_pgmq.services import ordering
from airflow_pgmq.services.consuming import Consumer, KeptConnection


class ConsumingMethods(ConnectionBase):
    """Consume, dead-letter, requeue."""

    @contextmanager
    def consume(
        self,
        queue_name: str,
        *,
        batch_size: int = 1,
        visibility_timeout: float | timedelta = 60,
        condition: Mapping[str, Any] | None = None,
        headers_condition: Mapping[str, Any] | None = None,
        max_reads: int | None = 5,
        dead_letter_queue: str | None = None,
        backoff: float = 10,
        max_backoff: float = 3600,
        ack: Ack = "archive",
        ordered: bool = False,
        on_dead: OnDead = "go_on",
        conn: Connection | None = None,
    ) -> Iterator[list[Message]]:
        """Read messages for a `with` block: acked when it ends, released with back-off when it raises.

        While the block runs, a heartbeat keeps them hidden from other readers. A message that was read before
        comes alone, so that a failing message does not make others fail. Expired ones are archived.

        :param queue_name: an existing queue
        :param batch_size: at most this many messages are read, processed and acked together; the list may be
            empty
        :param visibility_timeout: whole seconds or a timedelta, after which they are visible again if this
            process dies
        :param condition: only messages that contain this (jsonb `@>`)
        :param headers_condition: only messages whose headers contain this
        :param max_reads: a message that fails at this try is dead-lettered; reads that gave it back untried
            do not count; None: no limit
        :param dead_letter_queue: `<queue>_dlq` by default; created if it is missing
        :param backoff: seconds until the next read after a first failure, doubled with every read
        :param max_backoff: the longest back-off in seconds
        :param ack: `archive` or `delete`
        :param ordered: as for `read`; a message that waits for its next try holds its group back
        :param on_dead: `go_on`: a dead letter lets its group go on. `stop_group`: it stays in the queue as
            the next one of its group, which stops until `resume_group`; needs `ordered`
        :param conn: ack in this connection's transaction, together with what the block writes with it: both
            are committed, or neither. Commit after the block. In REPEATABLE READ and SERIALIZABLE there is no
            heartbeat, and `consume` must come before the transaction's first query
        :raises MessageLost: a message is no longer ours, such as after another read; with `conn`, roll back
        """
        policy = Policy(
            queue_name=queue_name,
            batch_size=batch_size,
            visibility_timeout=whole_seconds(visibility_timeout),
            condition=condition,
            headers_condition=headers_condition,
            max_reads=max_reads,
            dead_letter_queue=dead_letter_queue,
            backoff=backoff,
            max_backoff=max_backoff,
            ack=ack,
            groups=ordering.cursor(self.client, queue_name) if ordered else None,
            on_dead=on_dead,
        )
        consumer = Consumer(self.client, policy, together=True, skip_on=(AirflowSkipException,))
        try:
            with consumer.batch(conn) as messages:
                yield messages
        finally:
            metrics.settled(queue_name, acked=consumer.summary.acked, dead=consumer.summary.dead)

    def dead_letter(
        self,
        queue_name: str,
        messages: Messages,
        reason: str,
        *,
        dead_letter_queue: str | None = None,
        conn: Connection | None = None,
    ) -> list[int]:
        """Move messages to the dead letter queue, which must exist; return the ids that were moved.

        :param queue_name: the queue that they are in
        :param messages: as for `archive`
        :param reason: the reason in their header `dead_letter`
        :param dead_letter_queue: `<queue>_dlq` by default
        :param conn: join this connection's transaction
        """
        target = dead_letter_queue or names.dead_letter_queue(queue_name)
        held = references(messages)
        if conn is not None:
            done = self.client.run(lambda: consuming.dead_letter(queue_name, target, held, reason), conn)
        else:
            with KeptConnection(self.client, for_a_call=True) as kept:
                done = kept.run(
                    lambda again: consuming.dead_lettered(queue_name, target, held, reason, again=again)
                )
        metrics.settled(queue_name, dead=len(done))
        return done

    def groups(self, queue_name: str, *, limit: int = 100, conn: Connection | None = None) -> list[Group]:
        """Groups of a queue that is read in order, and what holds them back: those that are held back first.

        It looks at the first groups by name, and at those whose messages stay hidden the longest.

        :param queue_name: the queue
        :param limit: at most this many
        :param conn: join this connection's transaction
        :raises GroupIndexMissing: nobody has read the queue in order yet
        """
        found = self.client.run(lambda: groups.listed(queue_name, limit=reading.at_most(limit)), conn)
        if found is None:
            raise groups.no_index(queue_name)
        return found[0]

    def stopped_groups(self, queue_name: str, *, conn: Connection | None = None) -> list[StoppedGroup]:
        """Groups that `on_dead="stop_group"` has stopped, by name: at which message, why and when.

        :param queue_name: the queue
        :param conn: join this connection's transaction
        :return: at most 1,000
        """
        return self.client.run(lambda: stopped_groups.listed(queue_name), conn)

    def resume_group(
        self,
        queue_name: str,
        group: str,
        *,
        as_dead_letter: bool = False,
        dead_letter_queue: str | None = None,
        conn: Connection | None = None,
    ) -> bool:
        """Let a stopped group go on; False if it is not stopped.

        :param queue_name: the queue
        :param group: its name
        :param as_dead_letter: the message that stopped it becomes a dead letter, and the next one is read; by
            default it is tried again, as if it had not been tried
        :param dead_letter_queue: `<queue>_dlq` by default; created if it is missing
        :param conn: join this connection's transaction
        """
        if not as_dead_letter:
            return bool(self.client.run(lambda: stopped_groups.resume(queue_name, group), conn))
        target = dead_letter_queue or names.dead_letter_queue(queue_name)
        # It was counted as dead when it stopped the group.
        return bool(self.client.run(lambda: ordering.resume_without(queue_name, target, group), conn))

    def requeue(
        self,
        queue_name: str,
        *,
        source: Source = "dead_letters",
        dead_letter_queue: str | None = None,
        msg_ids: Sequence[int] | None = None,
        condition: Mapping[str, Any] | None = None,
        headers_condition: Mapping[str, Any] | None = None,
        max_messages: int | None = 1000,
        delay: Delay = None,
        conn: Connection | None = None,
    ) -> dict[int, int]:
        """Requeue dead letters, or archived messages, into their queue: unread, with their headers.

        :param queue_name: where they go; from a shared dead letter queue only this queue's messages return
        :param source: `dead_letters`, or the queue's `archive`, which needs `msg_ids` or a condition
        :param dead_letter_queue: `<queue>_dlq` by default
        :param msg_ids: only these, by their ids in the dead letter queue or archive
        :param condition: only messages that contain this (jsonb `@>`)
        :param headers_condition: only messages whose headers contain this
        :param max_messages: at most this many, oldest first; None: all
        :param delay: seconds, a timedelta or an instant until which they stay invisible
        :param conn: join this connection's transaction
        :return: old id → new id; a message whose dedup key is in the queue again (scope `queued`) stays
        """
        at = parse(delay)
        return self.client.run(
            lambda: consuming.requeue(
                queue_name,
                source=source,
                dead_letter_queue=dead_letter_queue,
                msg_ids=msg_ids,
                condition=condition,
                headers_condition=headers_condition,
                max_messages=max_messages,
                delay=at,
            ),
            conn,
        )
