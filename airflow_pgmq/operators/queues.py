"""Managing queues."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from airflow_pgmq.core import names
from airflow_pgmq.errors import InvalidArgument
from airflow_pgmq.operators.base import DEFAULT_CONNECTION, PgmqOperator

if TYPE_CHECKING:
    from airflow.sdk import Context

Action: TypeAlias = Literal["create", "drop", "purge", "bind", "unbind"]


class PgmqQueueOperator(PgmqOperator):
    """Create, drop or purge a queue, or bind topics to it.

    `create` does not change messages and kind of an existing queue, and also binds `topics`. `drop` and
    `purge` destroy messages, so they need the queue's name again, in `confirm`: a template that renders to
    an unexpected queue then fails. `drop` also removes the archive and the dedup keys; after `purge` the keys
    of scope `once` stay taken, and slots of periodic jobs that wait for their time stay in the queue.

    :param queue_name: the queue (templated)
    :param action: `create`, `drop`, `purge`, `bind` or `unbind`
    :param confirm: for `drop` and `purge`: the queue's name again, not templated
    :param topics: patterns to bind or unbind; segments separated by dots, `*` is one segment, `#` any number
        (templated)
    :param notify: announce inserts, also of an existing queue, so that waiters need not poll; where that is
        impossible, a warning in the log says why; for `create`
    :param unlogged: faster, but a server crash empties the queue; for `create`
    :param partition_interval: messages or time per partition (needs pg_partman); for `create`
    :param retention_interval: how much of a partitioned queue is kept; for `create`
    :param premake: how many of its partitions are made ahead (PGMQ 1.13 and newer); for `create`
    :param with_slots: remove these slots, too; they are never sent then; for `purge`
    :param pgmq_conn_id: the Airflow connection (templated)
    :raises InvalidName: PGMQ would lower-case or truncate the name
    :raises InvalidArgument: `confirm` is not the queue's name
    """

    template_fields: Sequence[str] = ("queue_name", "topics", "pgmq_conn_id")

    def __init__(
        self,
        *,
        queue_name: str,
        action: Action = "create",
        confirm: str | None = None,
        topics: Sequence[str] = (),
        notify: bool = True,
        unlogged: bool = False,
        partition_interval: str | int | None = None,
        retention_interval: str | int = 100_000,
        premake: int | None = None,
        with_slots: bool = False,
        pgmq_conn_id: str = DEFAULT_CONNECTION,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        if action not in ("create", "drop", "purge", "bind", "unbind"):
            raise InvalidArgument(
                f"action must be 'create', 'drop', 'purge', 'bind' or 'unbind', not {action!r}."
            )
        if action in ("drop", "purge") and not confirm:
            raise InvalidArgument(f"To {action} a queue, repeat its name in confirm=.")
        if action in ("bind", "unbind") and not topics:
            raise InvalidArgument(f"To {action}, name the topics.")
        self.queue_name = queue_name
        self.action = action
        self.confirm = confirm
        self.topics = topics
        self.notify = notify
        self.unlogged = unlogged
        self.partition_interval = partition_interval
        self.retention_interval = retention_interval
        self.premake = premake
        self.with_slots = with_slots
        self.pgmq_conn_id = pgmq_conn_id

    def execute(self, context: Context) -> dict[str, Any]:
        """Run the action; return its result."""
        names.queue(self.queue_name)
        if self.action in ("drop", "purge") and self.confirm != self.queue_name:
            raise InvalidArgument(
                f"Queue {self.queue_name!r} was not changed: confirm is {self.confirm!r}, not its name."
            )
        done: dict[str, Any] = {"queue_name": self.queue_name, "action": self.action}
        if self.action == "drop":
            done["dropped"] = self.hook.drop_queue(self.queue_name)
        elif self.action == "purge":
            done["purged"] = self.hook.purge(self.queue_name, with_slots=self.with_slots)
        else:
            done["topics"] = self._create_and_bind()
        self.log.info("Queue %s: %s", self.queue_name, done)
        return done

    def _create_and_bind(self) -> list[str]:
        topics = [self.topics] if isinstance(self.topics, str) else list(self.topics)
        # In one transaction: a queue that exists before its bindings would miss messages.
        with self.hook.client.transaction() as conn:
            if self.action == "create":
                self.hook.create_queue(
                    self.queue_name,
                    unlogged=self.unlogged,
                    partition_interval=self.partition_interval,
                    retention_interval=self.retention_interval,
                    premake=self.premake,
                    notify=self.notify,
                    conn=conn,
                )
            for topic in topics:
                if self.action == "unbind":
                    self.hook.unbind_topic(topic, self.queue_name, conn=conn)
                else:
                    self.hook.bind_topic(topic, self.queue_name, conn=conn)
        return topics
