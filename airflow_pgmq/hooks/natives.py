"""The hook's methods for what PGMQ does in a way of its own, where this package has another one."""

from __future__ import annotations

from datetime import timedelta

from airflow_pgmq.core.delays import whole_seconds
from airflow_pgmq.core.messages import Message, NotifyThrottle
from airflow_pgmq.db.client import Connection
from airflow_pgmq.db.statements import fifo, throttles
from airflow_pgmq.hooks.connection import ConnectionBase


class NativeMethods(ConnectionBase):
    """PGMQ's grouped reads and their index, and its notify trigger."""

    def read_grouped(
        self,
        queue_name: str,
        *,
        max_messages: int = 1,
        visibility_timeout: float | timedelta = 30,
        conn: Connection | None = None,
    ) -> list[Message]:
        """Read as PGMQ's `read_grouped`: as many messages of one group as possible (PGMQ 1.9 and newer).

        With several readers, messages of one group can be out at once, in this and the other grouped reads.
        Use `read(ordered=True)` for an order that holds (docs/guides/ordering.md).

        :param queue_name: the queue
        :param max_messages: at most this many
        :param visibility_timeout: seconds or a timedelta, after which they are visible again unless acked
        :param conn: join this connection's transaction
        """
        seconds = whole_seconds(visibility_timeout)
        return self.client.run(
            lambda: fifo.read_grouped(queue_name, max_messages=max_messages, visibility_timeout=seconds), conn
        )

    def read_grouped_rr(
        self,
        queue_name: str,
        *,
        max_messages: int = 1,
        visibility_timeout: float | timedelta = 30,
        conn: Connection | None = None,
    ) -> list[Message]:
        """Read as PGMQ's `read_grouped_rr`: one message of each group, then a second one of each, and so on.

        In the order in which PGMQ chose them (PGMQ 1.9 and newer). Parameters as for `read_grouped`, which
        says what does not hold.
        """
        seconds = whole_seconds(visibility_timeout)
        return self.client.run(
            lambda: fifo.read_grouped_rr(queue_name, max_messages=max_messages, visibility_timeout=seconds),
            conn,
        )

    def read_grouped_head(
        self,
        queue_name: str,
        *,
        max_messages: int = 1,
        visibility_timeout: float | timedelta = 30,
        conn: Connection | None = None,
    ) -> list[Message]:
        """Read as PGMQ's `read_grouped_head`: the oldest message of each group (PGMQ 1.11.1 and newer).

        Parameters as for `read_grouped`, which says what does not hold.
        """
        seconds = whole_seconds(visibility_timeout)
        return self.client.run(
            lambda: fifo.read_grouped_head(queue_name, max_messages=max_messages, visibility_timeout=seconds),
            conn,
        )

    def create_fifo_index(self, queue_name: str, *, conn: Connection | None = None) -> None:
        """Make PGMQ's index on the headers, for its grouped reads (PGMQ 1.9 and newer).

        `ordered=True` uses another index: `index_groups` makes it.

        :param queue_name: the queue
        :param conn: join this connection's transaction
        """
        self.client.run(lambda: fifo.create_index(queue_name), conn)

    def create_fifo_indexes_all(self, *, conn: Connection | None = None) -> None:
        """The same for all queues; senders wait until all of them are made."""
        self.client.run(fifo.create_indexes, conn)

    def enable_notify_insert(
        self, queue_name: str, *, throttle_interval_ms: int = 250, conn: Connection | None = None
    ) -> None:
        """Add PGMQ's own notify trigger, with this throttle (PGMQ 1.8 and newer).

        Prefer `enable_notify`, which announces on the same channel: PGMQ's trigger runs for each row, makes
        senders wait for each other, leaves out the last messages of a burst, and is silent after a crash of
        the server. Both at once announce twice.

        :param queue_name: the queue
        :param throttle_interval_ms: at most one notification in so many milliseconds; 0: one for each message
        :param conn: join this connection's transaction
        :raises QueueNotFound: there is no such queue
        :raises InvalidArgument: the throttle is negative
        """
        self.client.run(lambda: throttles.enable(queue_name, throttle_interval_ms), conn)

    def update_notify_insert(
        self, queue_name: str, *, throttle_interval_ms: int, conn: Connection | None = None
    ) -> None:
        """Give PGMQ's own trigger another throttle (PGMQ 1.11 and newer). Parameters as to enable it.

        :raises InvalidArgument: the queue does not have PGMQ's trigger, or the throttle is negative
        """
        self.client.run(lambda: throttles.update(queue_name, throttle_interval_ms), conn)

    def disable_notify_insert(self, queue_name: str, *, conn: Connection | None = None) -> None:
        """Remove PGMQ's own trigger; that of `enable_notify` stays (PGMQ 1.7 and newer)."""
        self.client.run(lambda: throttles.disable(queue_name), conn)

    def list_notify_insert_throttles(self, *, conn: Connection | None = None) -> list[NotifyThrottle]:
        """The queues that have PGMQ's own trigger, by name, with their throttles (PGMQ 1.11 and newer)."""
        return self.client.run(throttles.throttles, conn)
