"""Which errors of the driver may pass, and which ask for the work to be done again."""

from __future__ import annotations

from contextlib import suppress

import psycopg
from psycopg import errors as pg

from airflow_pgmq import errors
from airflow_pgmq.db.driver import running, sessions
from airflow_pgmq.db.driver.translation import what_is_missing
from airflow_pgmq.db.statements import schema

OperationalError = psycopg.OperationalError
DriverError = psycopg.Error

#: Waiting for a lock took too long, on a connection of ours or on another.
LockNotAvailable = (errors.LockTimeout, pg.LockNotAvailable)

#: Errors that may pass: the server cannot be reached, is a standby that is not promoted yet, or others held a
#: lock for too long.
OUTAGES = (psycopg.OperationalError, pg.ReadOnlySqlTransaction, errors.LimitReached)

#: Errors that may mean that PGMQ as a whole is missing.
NOT_THERE = (errors.QueueNotFound, errors.FeatureMissing, errors.NotInstalled)

#: The work had an error in its transaction and did not raise it.
Aborted = pg.InFailedSqlTransaction

#: Lost races that Postgres asks to be run again.
RETRYABLE = (pg.DeadlockDetected, pg.SerializationFailure)
ATTEMPTS = 6


def explanation(exc: errors.PgmqError, conn: sessions.Connection) -> errors.PgmqError:
    """One of `NOT_THERE` → what is missing, looked up after the failed transaction."""
    found = None
    # The connection may be gone, too, or the role may not look.
    with suppress(errors.PgmqError, psycopg.Error):
        found = running.execute(schema.installed(exc.queue_name), conn)
    return what_is_missing(exc, found)
