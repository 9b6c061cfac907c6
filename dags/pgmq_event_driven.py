"""A Dag that messages start: each sign-up is greeted within seconds, and nothing runs while there are none.

The doorbell rings when sign-ups are in the queue. The run takes all of them and acks each after its greeting.
It also takes sign-ups that arrive meanwhile; the bell rings again for those that it misses.

Needs the queue of `airflow pgmq init signups`.
"""

from __future__ import annotations

import logging
from typing import Any

from airflow.sdk import AssetWatcher, dag, task

from airflow_pgmq.assets import queue_asset
from airflow_pgmq.triggers import PgmqEventTrigger

log = logging.getLogger(__name__)

bell = AssetWatcher(name="signups_bell", trigger=PgmqEventTrigger(queue_name="signups"))


@dag(
    schedule=[queue_asset("signups", watchers=[bell])],
    catchup=False,
    max_active_runs=1,
    tags=["pgmq"],
    doc_md=__doc__,
)
def pgmq_event_driven() -> None:
    @task.pgmq(queue_name="signups")
    def welcome(message: Any) -> None:
        """Greet one new user; if this raises, the message comes back later."""
        log.info("Welcome, %s!", message.message["name"])

    welcome()


pgmq_event_driven()
