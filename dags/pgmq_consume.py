"""Two consumers that drain their queues every five minutes, and a task that requeues dead letters.

Payments are booked in the transaction that acks them, so each is booked exactly once, whatever crashes.
Mails are handed over in lists; the mail server says for each address what becomes of its message. Payments
that failed too often wait in `payments_dlq` until somebody runs this Dag with `requeue` set.

Needs the queues of `airflow pgmq init payments mail`. The table `books` is made by the Dag.
"""

from __future__ import annotations

from typing import Any

from airflow.sdk import Param, dag, task
from airflow.timetables.trigger import CronTriggerTimetable

from airflow_pgmq.messages import Message, Outcome
from airflow_pgmq.operators import PgmqRequeueOperator


@dag(
    schedule=CronTriggerTimetable("*/5 * * * *", timezone="UTC"),
    catchup=False,
    max_active_runs=1,
    params={"requeue": Param(False, type="boolean", description="Requeue dead payments first")},
    tags=["pgmq"],
    doc_md=__doc__,
)
def pgmq_consume() -> None:
    @task.short_circuit(ignore_downstream_trigger_rules=False)
    def wants_requeue(params: dict[str, Any]) -> bool:
        """Whether this run shall requeue dead payments."""
        return bool(params["requeue"])

    # The dead letter queue exists after the consumer of payments has run once.
    requeue = PgmqRequeueOperator(task_id="requeue", queue_name="payments", dead_letter_queue="payments_dlq")

    @task
    def make_books() -> None:
        """The table of this example, in the database of the queues."""
        from airflow_pgmq.hooks import PgmqHook

        with PgmqHook().get_conn() as conn:
            conn.execute("CREATE TABLE IF NOT EXISTS books (payment bigint, amount numeric)")

    @task.pgmq(queue_name="payments", transactional=True, max_reads=3, trigger_rule="none_failed")
    def book(message: Message, conn: Any) -> None:
        """Book one payment: this row and the ack are committed together."""
        payment = message.message
        if payment["amount"] <= 0:
            raise ValueError(f"payment {payment['id']} has no amount")
        conn.execute("INSERT INTO books (payment, amount) VALUES (%(id)s, %(amount)s)", payment)

    @task.pgmq(queue_name="mail", batch_size=50)
    def deliver(messages: list[Message]) -> dict[int, Outcome]:
        """Send many mails at once; those without an entry in the result are acked."""
        outcomes = {}
        for message in messages:
            address = message.message["to"]
            if "@" not in address:
                outcomes[message.msg_id] = Outcome.dead(f"{address!r} is no address")
            elif address.endswith("@busy.example"):
                outcomes[message.msg_id] = Outcome.retry(600)
        return outcomes

    consumed = book()
    wants_requeue() >> requeue >> consumed
    make_books() >> consumed
    deliver()


pgmq_consume()
