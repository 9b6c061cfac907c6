"""Messages of a queue into a table, inside the database."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from airflow_pgmq.core.consumer_policy import FAIL_ON, Ack, FailOn, Policy
from airflow_pgmq.core.delays import whole_seconds
from airflow_pgmq.core.groups import GroupCursor, OnDead
from airflow_pgmq.errors import InvalidArgument
from airflow_pgmq.operators.base import DEFAULT_CONNECTION
from airflow_pgmq.operators.draining import DrainOperator

if TYPE_CHECKING:
    from airflow.sdk import Context

    from airflow_pgmq.core.messages import Message
    from airflow_pgmq.db.statements import Work
    from airflow_pgmq.db.statements.transfers import OnConflict


class PgmqToSqlOperator(DrainOperator):
    """Drain a queue into a table, or by a statement of yours; the ack is in the same transaction.

    Either name a table and its columns, which are filled from the payload's keys of the same names (as
    `jsonb_populate_record` converts them). Or give a statement that reads `messages`, a temporary view with
    the columns `msg_id`, `read_ct`, `enqueued_at`, `vt`, `message` and `headers`; for it the role needs the
    privilege TEMPORARY on the database. Every message takes effect exactly once. A failed batch is tried
    again message by message; a message that cannot be stored comes back after a back-off, and goes to the
    dead letter queue after `max_reads`. The result has the counts of `PgmqConsumeOperator`.

    :param queue_name: an existing queue in the database of the connection (templated)
    :param table: `table` or `schema.table`, case-sensitive (templated)
    :param columns: the table's columns to fill
    :param on_conflict: `error`, or `skip` messages that a unique constraint refuses
    :param sql: instead of a table: one statement that reads `messages`, or the path of a `.sql` file
        (templated)
    :param parameters: values of `%(name)s` in the statement (templated)
    :param batch_size: how many messages in one transaction
    :param ordered: of each group, one message at a time, in order, so one in each transaction; see
        docs/guides/ordering.md
    :param on_dead: `go_on`: a dead letter lets its group go on. `stop_group`: it stays in the queue as the
        next one of its group, which stops until `hook.resume_group`; needs `ordered`
    :param max_batches: stop after this many; by default when nothing is visible
    :param visibility_timeout: whole seconds or a timedelta; the heartbeat renews it
    :param max_reads: a message that fails at this try is dead-lettered; reads that gave it back untried do
        not count; None: no limit
    :param dead_letter_queue: `<queue>_dlq` by default; created if it is missing (templated)
    :param condition: only messages that contain this (jsonb `@>`) (templated)
    :param headers_condition: only messages whose headers contain this (templated)
    :param ack: `archive` or `delete`
    :param fail_on: the task fails at the end if `any` message failed, became a `dead` letter, if `all`
        failed, or `never`
    :param pgmq_conn_id: the Airflow connection (templated)
    :raises InvalidArgument: neither or both of `table` and `sql`
    :raises InvalidQuery: `sql` is not one statement
    :raises GroupIndexMissing: `ordered` needs an index that only the owner of the queue's table may make
    :raises PermissionDenied: the role may not create temporary tables; nothing was read
    :raises MessagesFailed: as `fail_on` says; the counts are in XCom by then
    """

    template_fields: Sequence[str] = (
        "queue_name",
        "table",
        "sql",
        "parameters",
        "dead_letter_queue",
        "condition",
        "headers_condition",
        "pgmq_conn_id",
    )
    template_fields_renderers = {  # noqa: RUF012 - as Airflow has it
        "sql": "sql",
        "parameters": "json",
        "condition": "json",
        "headers_condition": "json",
    }
    template_ext: Sequence[str] = (".sql",)

    def __init__(
        self,
        *,
        queue_name: str,
        table: str | None = None,
        columns: Sequence[str] | None = None,
        on_conflict: OnConflict = "error",
        sql: str | None = None,
        parameters: Mapping[str, Any] | None = None,
        batch_size: int = 1000,
        ordered: bool = False,
        on_dead: OnDead = "go_on",
        max_batches: int | None = None,
        visibility_timeout: int | timedelta = 60,
        max_reads: int | None = 5,
        dead_letter_queue: str | None = None,
        condition: Mapping[str, Any] | None = None,
        headers_condition: Mapping[str, Any] | None = None,
        ack: Ack = "archive",
        fail_on: FailOn = "any",
        pgmq_conn_id: str = DEFAULT_CONNECTION,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        if (table is None) == (sql is None):
            raise InvalidArgument("Give either table= with columns=, or sql=.")
        if (columns is None or isinstance(columns, str) or not columns) if table is not None else columns:
            raise InvalidArgument("columns must be a list of columns, together with table=.")
        if on_conflict not in ("error", "skip") or fail_on not in FAIL_ON:
            raise InvalidArgument(f"on_conflict is 'error' or 'skip'; fail_on is {' or '.join(FAIL_ON)}.")
        self.queue_name = queue_name
        self.table = table
        self.columns = columns
        self.on_conflict = on_conflict
        self.sql = sql
        self.parameters = parameters
        self.batch_size = batch_size
        self.ordered = ordered
        self.on_dead = on_dead
        self.max_batches = max_batches
        self.visibility_timeout = visibility_timeout
        self.max_reads = max_reads
        self.dead_letter_queue = dead_letter_queue
        self.condition = condition
        self.headers_condition = headers_condition
        self.ack = ack
        self.fail_on = fail_on
        self.pgmq_conn_id = pgmq_conn_id
        self._policy()

    def execute(self, context: Context) -> dict[str, Any]:
        """Drain the queue; return the counts."""
        from airflow_pgmq.db.client import Connection, drive, is_lent
        from airflow_pgmq.db.statements import transfers
        from airflow_pgmq.services.consuming import Consumer

        def prepare(conn: Connection) -> None:
            if self.sql is not None and not is_lent(conn):
                drive(transfers.make_batch(), conn)

        def store(messages: list[Message], conn: Connection | None) -> None:
            assert conn is not None
            drive(self._work(messages, is_lent=is_lent(conn)), conn)

        consumer = Consumer(
            self.hook.client,
            self._policy(),
            together=True,
            ignores_payload=True,
            prepare=prepare,
            log=self.log,
        )
        return self._drain(consumer, store, context)

    def tables_written(self) -> Sequence[str]:
        """The table, for lineage; unknown for a statement."""
        return [] if self.table is None else [self.table]

    def _work(self, messages: list[Message], *, is_lent: bool) -> Work[None]:
        from airflow_pgmq.db.statements import transfers

        if self.sql is not None:
            return transfers.with_messages(
                self.queue_name, self.sql, self.parameters, messages, is_lent=is_lent
            )
        assert self.table is not None
        return transfers.to_table(self.queue_name, self.table, self.columns or (), self.on_conflict, messages)

    def _policy(self) -> Policy:
        return Policy(
            queue_name=self.queue_name,
            batch_size=self.batch_size,
            groups=GroupCursor() if self.ordered else None,
            on_dead=self.on_dead,
            max_batches=self.max_batches,
            visibility_timeout=whole_seconds(self.visibility_timeout),
            max_reads=self.max_reads,
            dead_letter_queue=self.dead_letter_queue,
            condition=self.condition,
            headers_condition=self.headers_condition,
            ack=self.ack,
            transactional=True,
        )
