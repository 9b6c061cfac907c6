"""A dozen periodic jobs in several time zones, enqueued by one Dag that ticks every minute.

Each slot of each job becomes one message, visible at exactly its time. A tick enqueues the next ten
minutes, so seconds-level crons work and a short outage of Airflow delays nothing.

Needs the queues of `airflow pgmq init billing cache mail maintenance markets`.
"""

from __future__ import annotations

import logging
from datetime import timedelta

from airflow.sdk import DAG, Context
from airflow.timetables.trigger import CronTriggerTimetable

from airflow_pgmq.jobs import PeriodicJob
from airflow_pgmq.operators import PgmqPeriodicOperator

log = logging.getLogger(__name__)

JOBS = [
    # Office hours follow the local time of the place, including summer time.
    PeriodicJob(
        name="invoices",
        cron="0 6 * * 1-5",
        timezone="Europe/Berlin",
        queue_name="billing",
        message={"do": "send_invoices"},
    ),
    PeriodicJob(
        name="payroll",
        cron="0 18 L * *",  # the last day of each month
        timezone="America/Sao_Paulo",
        queue_name="billing",
        message={"do": "pay_salaries"},
        # If nobody has paid by then, `tell` is called, once for each slot.
        expect_within=timedelta(hours=2),
        # If paying fails for good, somebody must look before the next month is paid.
        pause_on_dead_letter=True,
    ),
    PeriodicJob(
        name="usage-metering",
        cron="* * * * *",
        timezone="Asia/Kolkata",
        queue_name="billing",
        message={"do": "meter_usage"},
    ),
    PeriodicJob(
        name="market-open",
        cron="30 9 * * 1-5",
        timezone="America/New_York",
        queue_name="markets",
        message={"do": "open_trading", "venue": "XNYS"},
    ),
    PeriodicJob(
        name="settlement",
        cron="30 15 * * 1-5",
        timezone="Asia/Shanghai",
        queue_name="markets",
        message={"do": "settle", "venue": "XSHG"},
    ),
    # A rate that nobody fetched within a quarter of an hour is useless.
    PeriodicJob(
        name="fx-rates",
        cron="*/15 * * * *",
        timezone="Europe/London",
        queue_name="markets",
        message={"do": "fetch_rates", "base": "GBP"},
        ttl=timedelta(minutes=15),
    ),
    PeriodicJob(
        name="weather-digest",
        cron="0 7 * * *",
        timezone="Australia/Sydney",
        queue_name="mail",
        message={"do": "send_digest", "topic": "weather"},
        headers={"priority": "low"},
    ),
    # 02:30 does not exist on one night a year and happens twice on another: it is sent once on both.
    # After an outage only the latest missed night is sent.
    PeriodicJob(
        name="nightly-vacuum",
        cron="30 2 * * *",
        timezone="Europe/Berlin",
        queue_name="maintenance",
        message={"do": "vacuum", "analyze": True},
        catch_up="last",
        # While one runs, at most one waits.
        overlap="queue_one",
    ),
    # Without jitter a thousand tenants' slots are all on the hour. With it each has its own, fixed minute.
    PeriodicJob(
        name="crm-sync",
        cron="@hourly",
        queue_name="maintenance",
        message={"do": "sync", "system": "crm"},
        jitter=timedelta(minutes=5),
    ),
    # Never two at a time: a slot is left out while the previous message is still in the queue.
    PeriodicJob(
        name="search-reindex",
        cron="*/5 * * * *",
        queue_name="maintenance",
        message={"do": "reindex", "index": "products"},
        overlap="skip",
    ),
    # Six fields: the last one is seconds.
    PeriodicJob(
        name="cache-warm",
        cron="* * * * * */30",
        queue_name="cache",
        message={"do": "warm", "keys": ["home", "prices"]},
        catch_up="last",
    ),
    PeriodicJob(
        name="health-probe",
        cron="* * * * * */10",
        queue_name="cache",
        message={"do": "probe"},
        ttl=timedelta(seconds=30),
        catch_up="none",
    ),
]


def tell(context: Context) -> None:
    """Any notifier of Airflow's can be here, for example `SlackWebhookNotifier`."""
    log.error("%s", context["overdue"])


with DAG(
    dag_id="pgmq_periodic_jobs",
    # The data interval is a minute long, so that an Airflow backfill of an hour enqueues that hour's slots.
    schedule=CronTriggerTimetable("* * * * *", timezone="UTC", interval=timedelta(minutes=1)),
    catchup=False,
    max_active_runs=1,
    tags=["pgmq"],
    doc_md=__doc__,
):
    PgmqPeriodicOperator(
        task_id="tick",
        jobs=JOBS,
        namespace="demo",
        look_ahead=timedelta(minutes=10),
        on_overdue=[tell],
        # A slot that was sent is not sent again, so a retry does no harm.
        retries=3,
        retry_delay=timedelta(seconds=10),
    )
