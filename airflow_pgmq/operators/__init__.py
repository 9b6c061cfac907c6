"""Tasks on queues and messages."""

from __future__ import annotations

from airflow_pgmq.operators.consume import PgmqConsumeOperator
from airflow_pgmq.operators.maintenance import PgmqMaintenanceOperator
from airflow_pgmq.operators.messages import (
    PgmqAckOperator,
    PgmqExtendOperator,
    PgmqReleaseOperator,
    PgmqRequeueOperator,
)
from airflow_pgmq.operators.periodic import PgmqPeriodicOperator
from airflow_pgmq.operators.queues import PgmqQueueOperator
from airflow_pgmq.operators.send import PgmqSendOperator
from airflow_pgmq.operators.transfers import PgmqSendFromQueryOperator, PgmqToSqlOperator

__all__ = [
    "PgmqAckOperator",
    "PgmqConsumeOperator",
    "PgmqExtendOperator",
    "PgmqMaintenanceOperator",
    "PgmqPeriodicOperator",
    "PgmqQueueOperator",
    "PgmqReleaseOperator",
    "PgmqRequeueOperator",
    "PgmqSendFromQueryOperator",
    "PgmqSendOperator",
    "PgmqToSqlOperator",
]
