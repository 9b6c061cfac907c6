"""Jobs beyond cron: business days, intervals, recurrence rules, and messages that know their slot.

Needs the queues of `airflow pgmq init billing reports`.
"""

from __future__ import annotations

from datetime import date, datetime, timedelta

from airflow.sdk import DAG
from airflow.timetables.trigger import CronTriggerTimetable

from airflow_pgmq.jobs import Blackout, Cron, Every, PeriodicJob, RRule
from airflow_pgmq.operators import PgmqPeriodicOperator

#: When nobody is in the office. `Holidays("DE", "BY")` would be the public holidays of Bavaria, and
#: `Calendar("office")` the days of a calendar in the database.
OFFICE = [date(2026, 10, 3), Blackout(datetime(2026, 12, 24), datetime(2027, 1, 2))]

JOBS = [
    # On the 1st, or on the next day on which somebody is there.
    PeriodicJob(
        name="invoices",
        schedule="0 9 1 * *",
        timezone="Europe/Berlin",
        queue_name="billing",
        exclude=OFFICE,
        business_day="next",
        message={"do": "send_invoices", "month": "{{ (slot_local.replace(day=1) | ds)[:7] }}"},
    ),
    # On the last Friday of each month, whoever is there.
    PeriodicJob(
        name="closing",
        schedule=RRule("FREQ=MONTHLY;BYDAY=-1FR;BYHOUR=17;BYMINUTE=0;BYSECOND=0"),
        timezone="Europe/Berlin",
        queue_name="billing",
        message={"do": "close_month"},
    ),
    # The first Monday of a month: day of month and weekday must both match.
    PeriodicJob(
        name="review",
        schedule=Cron("30 10 1-7 * mon", day_match="both"),
        timezone="Europe/Berlin",
        queue_name="reports",
        message={"do": "review"},
    ),
    # Every second Thursday at two, in summer and winter.
    PeriodicJob(
        name="retrospective",
        schedule=Every(timedelta(weeks=2), anchor=datetime(2026, 1, 8, 14)),
        timezone="Europe/Berlin",
        queue_name="reports",
        message={"do": "remind", "of": "retrospective"},
    ),
    # Each message has the interval that its reader shall report on.
    PeriodicJob(
        name="usage",
        schedule=Every(timedelta(minutes=90)),
        queue_name="reports",
        params={"regions": ["eu", "us"]},
        message={
            "from": "{{ interval_start | ts }}",
            "to": "{{ interval_end | ts }}",
            "regions": "{{ params.regions }}",
        },
    ),
]

with DAG(
    dag_id="pgmq_business_days",
    schedule=CronTriggerTimetable("* * * * *", timezone="UTC", interval=timedelta(minutes=1)),
    catchup=False,
    max_active_runs=1,
    tags=["pgmq"],
    doc_md=__doc__,
):
    PgmqPeriodicOperator(task_id="tick", jobs=JOBS, namespace="business_days")
