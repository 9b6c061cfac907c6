"""A Dag that messages start: a sign-up is welcomed within seconds, and nothing runs while there are none.

The bell rings when sign-ups are in the queue; the run takes all of them, acks each when it was welcomed, and
those who sign up meanwhile are either taken along or ring again.

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
        """Greet one new user; if this raises, the sign-up comes again."""
        log.info("Welcome, %s!", message.message["name"])

    welcome()


pgmq_event_driven()
