"""Draining a queue with a Python function."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from airflow_pgmq.compat import AirflowFailException, AirflowSkipException
from airflow_pgmq.core.consumer_policy import FAIL_ON, Ack, FailOn, Policy
from airflow_pgmq.core.delays import whole_seconds
from airflow_pgmq.core.groups import GroupCursor, OnDead
from airflow_pgmq.core.signature import Signature
from airflow_pgmq.errors import InvalidArgument
from airflow_pgmq.operators.base import DEFAULT_CONNECTION
from airflow_pgmq.operators.draining import DrainOperator

if TYPE_CHECKING:
    from datetime import timedelta

    from airflow.sdk import Context

#: Default `batch_size` of a function that takes a list.
MANY = 100


class PgmqConsumeOperator(DrainOperator):
    """Drain a queue: pass its messages to a function, and ack each one when the function has returned.

    The parameter's name says what the function takes: `message`, one at a time, or `messages`, a list. A
    message is acked when the function returns, and comes back after a back-off when it raises; after
    `max_reads` it goes to the dead letter queue with the error. If a list raises, its messages are tried
    again one by one. A heartbeat keeps messages hidden while they are processed. The function may return an
    `Outcome`, or for a list one for each message, to decide otherwise (see `airflow_pgmq.messages`).

    One failing message does not end the drain; `fail_on` decides whether the task then fails. When the drain
    ends early (AirflowFailException, AirflowSkipException, a timeout, the task is killed), unprocessed
    messages are given back at once. Each message is processed at least once; with `transactional` its effect
    in the queue's database happens exactly once.

    The result counts: `read`, `acked`, `retried`, `dead`, `expired`, `lost`, `released`, `failed`, `batches`,
    `seconds`.

    :param queue_name: an existing queue (templated)
    :param python_callable: the function; its other parameters are filled from `op_args`, `op_kwargs` and the
        context
    :param op_args: positional arguments, without the message (templated)
    :param op_kwargs: keyword arguments (templated)
    :param batch_size: how many messages are read at once: 100 for a function that takes a list; for one that
        takes a message, as many as it works off in 0.1 s, at most 100, or 1 with `max_batches` or
        `max_reads=1`. A message that was tried before always comes alone, in case it kills its worker
    :param ack_group: how many messages that are worked on one at a time are acked together, up to 5 ms later;
        a worker that dies repeats at most these. 1: each at once. No effect for lists and `transactional`
    :param read_ahead: read the next batch while one is worked on, in a thread with a connection of its own;
        only messages that nobody has read. For a database that is far away
    :param ordered: of each group (`group=` of a message), one message at a time, in order, whoever else reads
        with `ordered`; a batch then has messages of several groups (docs/guides/ordering.md). A message that
        waits for its next try holds its group back
    :param on_dead: `go_on`: a dead letter lets its group go on. `stop_group`: it stays in the queue as the
        next one of its group, which stops until `hook.resume_group`; needs `ordered`
    :param max_batches: stop after this many reads; by default when nothing is visible
    :param visibility_timeout: whole seconds or a timedelta after which the messages of a dead worker come
        back; it does not limit the function, because the heartbeat renews it
    :param max_reads: a message that fails at this try is dead-lettered; reads that gave it back untried do
        not count; None: no limit
    :param dead_letter_queue: `<queue>_dlq` by default; created if it is missing (templated)
    :param condition: only messages that contain this (jsonb `@>`) (templated)
    :param headers_condition: only messages whose headers contain this (templated)
    :param ack: `archive` or `delete`
    :param transactional: the function also gets `conn`, a psycopg connection inside a transaction; what it
        writes there and the ack are committed together. It must not commit
    :param backoff: seconds until a failed message is visible again, doubled with every read, spread by up to
        half
    :param max_backoff: the longest back-off in seconds
    :param stop_after_failures: this many failures in a row end the drain, because the cause is probably not
        the messages but a service that they need; the rest is given back. None: never
    :param fail_on: the task fails at the end if `any` function call failed (the default), if a message became
        a `dead` letter, if `all` that were tried failed, or `never`
    :param pgmq_conn_id: the Airflow connection (templated)
    :raises MessagesFailed: as `fail_on` says; the counts are in XCom by then
    :raises QueueNotFound: there is no such queue
    :raises GroupIndexMissing: `ordered` needs an index that only the owner of the queue's table may make
    :raises PermissionDenied: the dead letter queue is missing and the role may not create it: nothing was
        read; or the role may not ack: unprocessed messages are given back
    """

    template_fields: Sequence[str] = (
        "queue_name",
        "dead_letter_queue",
        "condition",
        "headers_condition",
        "op_args",
        "op_kwargs",
        "pgmq_conn_id",
    )
    template_fields_renderers = {  # noqa: RUF012 - as Airflow has it
        "condition": "json",
        "headers_condition": "json",
        "op_args": "py",
        "op_kwargs": "py",
    }
    shallow_copy_attrs: Sequence[str] = ("python_callable", "op_kwargs")

    def __init__(
        self,
        *,
        queue_name: str,
        python_callable: Callable[..., Any],
        op_args: Sequence[Any] | None = None,
        op_kwargs: Mapping[str, Any] | None = None,
        batch_size: int | None = None,
        ack_group: int = 100,
        read_ahead: bool = False,
        ordered: bool = False,
        on_dead: OnDead = "go_on",
        max_batches: int | None = None,
        visibility_timeout: int | timedelta = 60,
        max_reads: int | None = 5,
        dead_letter_queue: str | None = None,
        condition: Mapping[str, Any] | None = None,
        headers_condition: Mapping[str, Any] | None = None,
        ack: Ack = "archive",
        transactional: bool = False,
        backoff: float = 10.0,
        max_backoff: float = 3600.0,
        stop_after_failures: int | None = 10,
        fail_on: FailOn = "any",
        pgmq_conn_id: str = DEFAULT_CONNECTION,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.queue_name = queue_name
        self.python_callable = python_callable
        self.op_args = op_args or ()
        self.op_kwargs = op_kwargs or {}
        self.batch_size = batch_size
        self.ack_group = ack_group
        self.read_ahead = read_ahead
        self.ordered = ordered
        self.on_dead = on_dead
        self.max_batches = max_batches
        self.visibility_timeout = visibility_timeout
        self.max_reads = max_reads
        self.dead_letter_queue = dead_letter_queue
        self.condition = condition
        self.headers_condition = headers_condition
        self.ack = ack
        self.transactional = transactional
        self.backoff = backoff
        self.max_backoff = max_backoff
        self.stop_after_failures = stop_after_failures
        self.fail_on = fail_on
        self.pgmq_conn_id = pgmq_conn_id
        if fail_on not in FAIL_ON:
            raise InvalidArgument(f"fail_on must be one of {', '.join(FAIL_ON)}, not {fail_on!r}.")
        self._policy(Signature.of(self._function, transactional=transactional))

    @property
    def _function(self) -> Callable[..., Any]:
        return self.python_callable

    def execute(self, context: Context) -> dict[str, Any]:
        """Drain the queue; return the counts."""
        from airflow_pgmq.services.consuming import Consumer

        signature = Signature.of(self._function, transactional=self.transactional)
        consumer = Consumer(
            self.hook.client,
            self._policy(signature),
            together=signature.together,
            stop_on=(AirflowFailException,),
            skip_on=(AirflowSkipException,),
            log=self.log,
        )
        return self._drain(consumer, signature.bind(self.op_args, self.op_kwargs, context), context)

    def _policy(self, signature: Signature) -> Policy:
        is_open = self.batch_size is None and not signature.together
        return Policy(
            queue_name=self.queue_name,
            batch_size=(MANY if signature.together else 1) if self.batch_size is None else self.batch_size,
            adapts_batch_size=is_open and self.max_batches is None and self.max_reads != 1,
            ack_group=self.ack_group,
            read_ahead=self.read_ahead,
            groups=GroupCursor() if self.ordered else None,
            on_dead=self.on_dead,
            max_batches=self.max_batches,
            visibility_timeout=whole_seconds(self.visibility_timeout),
            max_reads=self.max_reads,
            dead_letter_queue=self.dead_letter_queue,
            condition=self.condition,
            headers_condition=self.headers_condition,
            ack=self.ack,
            transactional=self.transactional,
            backoff=self.backoff,
            max_backoff=self.max_backoff,
            stop_after_failures=self.stop_after_failures,
        )
