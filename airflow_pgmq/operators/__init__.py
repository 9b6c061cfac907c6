"""Tasks on queues and messages."""

from __future__ import annotations

from airflow_pgmq.operators.consume import PgmqConsumeOperator
from airflow_pgmq.operators.maintenance import PgmqMaintenanceOperator
from airflow_pgmq.operators.messages import PgmqAckOperator, PgmqExtendOperator, PgmqReleaseOperator
from airflow_pgmq.operators.periodic import PgmqPeriodicOperator
from airflow_pgmq.operators.pgmq_to_sql import PgmqToSqlOperator
from airflow_pgmq.operators.queues import PgmqQueueOperator
from airflow_pgmq.operators.requeue import PgmqRequeueOperator
from airflow_pgmq.operators.send import PgmqSendOperator
from airflow_pgmq.operators.send_topic import PgmqSendTopicOperator
from airflow_pgmq.operators.sql_to_pgmq import SqlToPgmqOperator

__all__ = [
    "PgmqAckOperator",
    "PgmqConsumeOperator",
    "PgmqExtendOperator",
    "PgmqMaintenanceOperator",
    "PgmqPeriodicOperator",
    "PgmqQueueOperator",
    "PgmqReleaseOperator",
    "PgmqRequeueOperator",
    "PgmqSendOperator",
    "PgmqSendTopicOperator",
    "PgmqToSqlOperator",
    "SqlToPgmqOperator",
]
