"""Bookings of a customer one after the other, whoever works on them; other customers do not wait.

Every ten minutes, a run sends the steps of a few orders, each with its customer as the group. Two mapped
consumers share the work: of each customer, one step at a time, in order. A step that cannot be done stops
its customer, since the next one makes no sense without it, until somebody lets it go on: on the page, or
with `airflow pgmq groups bookings` and `airflow pgmq resume-group bookings <customer>`.

Needs the queue of `airflow pgmq init bookings`.
"""

from __future__ import annotations

import logging

from airflow.sdk import dag, task
from airflow.timetables.trigger import CronTriggerTimetable

from airflow_pgmq.messages import Message

log = logging.getLogger(__name__)

CUSTOMERS = ("ann", "ben", "cleo")
STEPS = ("reserve", "charge", "confirm")


@dag(
    schedule=CronTriggerTimetable("*/10 * * * *", timezone="UTC"),
    catchup=False,
    max_active_runs=1,
    tags=["pgmq"],
    doc_md=__doc__,
)
def pgmq_in_order() -> None:
    @task
    def order() -> None:
        """The steps of an order for each customer; the group keeps them in order."""
        from airflow_pgmq.hooks import PgmqHook

        hook = PgmqHook()
        for customer in CUSTOMERS:
            steps = [{"customer": customer, "step": step} for step in STEPS]
            hook.send_batch("bookings", steps, group=customer)

    @task.pgmq(queue_name="bookings", ordered=True, on_dead="stop_group", max_reads=3)
    def book(message: Message, worker: int) -> None:
        """Do one step. A real one would call another system, which must not see steps out of order."""
        log.info("Worker %d: %s", worker, message.message)

    order() >> book.expand(worker=[1, 2])


pgmq_in_order()
