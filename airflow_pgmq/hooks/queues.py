"""The hook's methods for queues."""

from __future__ import annotations

from airflow_pgmq.core.messages import Queue, QueueMetrics
from airflow_pgmq.core.pauses import PausedQueue
from airflow_pgmq.db.client import Connection
from airflow_pgmq.db.statements import partitioning, pausing, queues
from airflow_pgmq.hooks import actors
from airflow_pgmq.hooks.connection import ConnectionBase
from airflow_pgmq.services import creating, ordering, sampling, sending


class QueueMethods(ConnectionBase):
    """Create, drop, pause, list, count and announce."""

    def create_queue(
        self,
        queue_name: str,
        *,
        unlogged: bool = False,
        partition_interval: str | int | None = None,
        retention_interval: str | int = 100_000,
        premake: int | None = None,
        notify: bool = True,
        conn: Connection | None = None,
    ) -> None:
        """Create a queue that announces its inserts; an existing queue keeps its messages and its kind.

        Where inserts cannot be announced (the schema `airflow_pgmq` is missing, or the role may not), the
        queue is created all the same, its waiters poll every 5 seconds, and a warning says what to do.

        :param queue_name: 1 to 47 characters: lower-case letters, digits, underscores, a letter first; an
            existing queue may have any name that PGMQ accepts
        :param unlogged: faster, but a server crash empties the queue
        :param partition_interval: messages or time per partition, such as 10000 or "1 day" (needs pg_partman)
        :param retention_interval: how much of a partitioned queue is kept
        :param premake: how many of its partitions are made ahead; 4 by default (PGMQ 1.13 and newer)
        :param notify: announce inserts, also of an existing queue, so that waiters need not poll (see
            `enable_notify`); False leaves an existing queue as it is
        :param conn: join this connection's transaction
        :raises InvalidName: PGMQ would accept the name, but lower-case or truncate it
        """
        created = creating.create(
            self.client,
            queue_name,
            unlogged=unlogged,
            partition_interval=partition_interval,
            retention_interval=retention_interval,
            premake=premake,
            notify=notify,
            conn=conn,
        )
        if created.obstacle is not None:
            self.log.warning(
                "Queue %r: inserts are not announced, so waiters poll every 5 seconds. %s "
                "Pass notify=False if that is intended, to get no warning.",
                queue_name,
                created.obstacle,
            )

    def drop_queue(self, queue_name: str, *, conn: Connection | None = None) -> bool:
        """Drop a queue with its archive and its dedup keys; False if there was none.

        :param queue_name: the queue
        :param conn: join this connection's transaction
        """
        self.client.forget(sending.guard_check(queue_name))
        return self.client.run(lambda: queues.drop(queue_name), conn)

    def convert_archive_partitioned(
        self,
        queue_name: str,
        *,
        partition_interval: str | int,
        retention_interval: str | int = 100_000,
        leading_partition: int = 10,
        conn: Connection | None = None,
    ) -> bool:
        """Give a queue a partitioned archive, for pg_partman to drop its old parts; False if it has one.

        The new archive is empty, and has no GRANTs: give them again. PGMQ keeps the old one with its messages
        as the table `a_<queue>_old`, which neither PGMQ nor this package uses any more; pg_partman's
        `partition_data_proc` can move them.

        :param queue_name: the queue
        :param partition_interval: messages or time per partition, such as 10000 or "1 day" (needs pg_partman)
        :param retention_interval: how much of the archive is kept
        :param leading_partition: PGMQ takes it, and 1.13 does nothing with it
        :param conn: join this connection's transaction
        :raises QueueNotFound: there is no such queue
        :raises FeatureMissing: pg_partman is missing in the database
        """
        converted: bool = self.client.run(
            lambda: partitioning.convert_archive(
                queue_name, str(partition_interval), str(retention_interval), leading_partition
            ),
            conn,
        )
        return converted

    def list_queues(self, *, conn: Connection | None = None) -> list[Queue]:
        """All queues of the database, by name."""
        return self.client.run(queues.list_all, conn)

    def pause_queue(
        self,
        queue_name: str,
        reason: str = "",
        *,
        paused_by: str | None = None,
        conn: Connection | None = None,
    ) -> bool:
        """Pause a queue: our consumers read nothing until it is resumed; False if it is paused already.

        `read`, `pop` and `consume` find nothing, waiters wait on, and what is in flight is finished. Senders
        go on, and so do `peek` and the verbs that are given messages, such as acks, requeue and purge. Other
        clients of PGMQ read on, and so does a role that may not see pauses (docs/guides/consuming.md).

        Who paused a queue first, when and why stays, also if it is paused again.

        :param queue_name: the queue
        :param reason: why, for people: at most 500 characters
        :param paused_by: who; by default the task, or the user of this process
        :param conn: join this connection's transaction
        :raises QueueNotFound: there is no such queue
        """
        by = actors.current() if paused_by is None else paused_by
        self.client.ensure_schema(conn)
        return self.client.run(lambda: pausing.pause(queue_name, reason, by), conn)

    def resume_queue(self, queue_name: str, *, conn: Connection | None = None) -> bool:
        """Let a paused queue be read again, and wake its waiters; False if it was not paused.

        :param queue_name: the queue
        :param conn: join this connection's transaction
        :raises QueueNotFound: there is no such queue
        """
        self.client.ensure_schema(conn)
        return self.client.run(lambda: pausing.resume(queue_name), conn)

    def paused_queues(self, *, conn: Connection | None = None) -> list[PausedQueue]:
        """All queues that are paused, by name: who paused them, when and why."""
        self.client.ensure_schema(conn)
        return self.client.run(pausing.paused, conn)

    def purge(self, queue_name: str, *, with_slots: bool = False, conn: Connection | None = None) -> int:
        """Delete every message of a queue, also those in flight; return how many.

        Slots of periodic jobs that wait for their time stay, since no tick would send them again. Dedup keys
        of scope `once` stay taken: after a purge, the same key is still a duplicate.

        :param queue_name: the queue
        :param with_slots: delete these slots, too; they are never sent then
        :param conn: join this connection's transaction
        """
        purged: int = self.client.run(lambda: queues.purge(queue_name, with_slots=with_slots), conn)
        return purged

    def metrics(self, queue_name: str, *, conn: Connection | None = None) -> QueueMetrics:
        """PGMQ's counts of a queue. They count every row, so call it rarely on huge queues."""
        return self.client.run(lambda: queues.metrics(queue_name), conn)

    def metrics_all(self, *, conn: Connection | None = None) -> list[QueueMetrics]:
        """PGMQ's counts of all queues. A queue whose table is locked or invalid is left out and logged."""
        with self.client.connection(conn) as current:
            found, left_out = sampling.metrics(self.client, current)
        for why in left_out:
            self.log.warning("%s", why)
        return found

    def enable_notify(self, queue_name: str, *, conn: Connection | None = None) -> bool:
        """Announce inserts on PGMQ's channel, once per statement; False if they were announced already.

        It does not use PGMQ's own `enable_notify_insert`: that row trigger makes bulk inserts quadratic and
        senders wait for each other, and after a server crash it no longer announces.

        :param queue_name: the queue
        :param conn: join this connection's transaction
        """
        with self.client.connection(conn) as current:
            self.client.ensure_schema(current)
            return self.client.run(lambda: queues.enable_notify(queue_name), current)

    def disable_notify(self, queue_name: str, *, conn: Connection | None = None) -> None:
        """Stop announcing inserts."""
        self.client.run(lambda: queues.disable_notify(queue_name), conn)

    def guard_queue(self, queue_name: str, *, conn: Connection | None = None) -> bool:
        """Build the unique index that `dedup_scope="queued"` relies on; False if it exists.

        The first send with that scope builds it, too. The build waits for open transactions of senders and
        blocks new ones: on a huge queue, call this at a quiet time.

        :param queue_name: a queue that is not partitioned
        :param conn: join this connection's transaction
        :raises GuardMissing: it cannot be built: partitioned queue, not the owner, or duplicate keys
        """
        return self.client.run(lambda: queues.guard(queue_name), conn)

    def index_groups(self, queue_name: str, *, conn: Connection | None = None) -> bool:
        """Build the index that `ordered=True` relies on, and announce acks; False if the index exists.

        PGMQ's `create_fifo_index` makes another one, which is of no use for that. The first read in order
        builds it, too. The build waits for open transactions of senders and blocks new ones: on a huge queue,
        call this at a quiet time.

        :param queue_name: an existing queue
        :param conn: join this connection's transaction
        :raises GroupIndexMissing: the role is not the owner of the queue's table
        """
        done = ordering.index(self.client, queue_name, conn)
        if done.obstacle is not None:
            self.log.warning(
                "Queue %r: acks are not announced, so who waits in order looks every 5 seconds. %s",
                queue_name,
                done.obstacle,
            )
        return done.built
