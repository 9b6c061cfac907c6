"""Why a read found nothing: for the log of a task, and for who reads at the command line."""

from __future__ import annotations

from contextlib import suppress

from airflow_pgmq.db.client import Client, DriverError
from airflow_pgmq.db.statements import Statement, pausing, reading
from airflow_pgmq.errors import PgmqError


def reason(client: Client, queue_name: str, *, is_filtered: bool = False, ordered: bool = False) -> str:
    """Why nothing was read, as far as this role can see; now, so that it may be another reason than then.

    :param is_filtered: the read had a condition
    :param ordered: it kept the order of groups
    """
    # Who may not see pauses reads on.
    with suppress(PgmqError, DriverError):
        for each in client.run(pausing.paused):
            if each.queue_name == queue_name:
                return f"Queue {queue_name} is {each}: nothing is read from it."
    with suppress(PgmqError, DriverError):
        if (is_filtered or ordered) and client.run(lambda: _any_visible(queue_name)):
            causes = ["matches the condition"] * is_filtered + ["is the next of its group"] * ordered
            return f"Messages of queue {queue_name} are visible, but none {' and '.join(causes)}."
    return "No message is visible."


def _any_visible(queue_name: str) -> Statement[int]:
    return reading.visible(queue_name, limit=1, condition=None, headers_condition=None)
