"""Which refused connections somebody must correct, and for which it is enough to wait."""

from __future__ import annotations

import pytest

from airflow_pgmq.core import faults

SERVER = 'connection to server at "db", port 5432 failed: '
MISTAKES = [
    'FATAL:  password authentication failed for user "a"',
    'FATAL:  role "too many slots" does not exist',
    'FATAL:  database "starting up" does not exist',
    'FATAL:  no pg_hba.conf entry for host "1.2.3.4", user "a", database "b", no encryption',
    'FATAL:  permission denied for database "b"',
    'FATAL:  unrecognized configuration parameter "x"',
    "FATAL:  no such database: b",
]
OUTAGES = [
    "FATAL:  the database system is starting up",
    "FATAL:  the database system is shutting down",
    "FATAL:  the database system is not yet accepting connections",
    "FATAL:  the database system is in recovery mode",
    'FATAL:  database "b" is not currently accepting connections',
    "FATAL:  sorry, too many clients already",
    'FATAL:  too many connections for role "a"',
    'FATAL:  too many connections for database "b"',
    "FATAL:  remaining connection slots are reserved for roles with the SUPERUSER attribute",
    "Connection refused\n\tIs the server running on that host?",
    'could not translate host name "password" to address: Name or service not known',
    "SSL SYSCALL error: EOF detected",
    "timeout expired",
    # A message in another language.
    "FATAL:  das Datenbanksystem startet gerade",
    "FATAL:  zu viele Verbindungen von Rolle „password authentication failed“",
    "FATAL:  trop de connexions pour le rôle « role_app »",
    "FATAL:  the database system is not accepting connections\nDETAIL:  Hot standby mode is disabled.",
    "FATAL:  Timed-out waiting to acquire database connection",
    'FATAL:  database "b" is disabled',
    "FATAL:  pgbouncer cannot connect to server",
]


@pytest.mark.parametrize("words", MISTAKES)
def test_what_somebody_must_correct(words):
    assert faults.is_mistake(SERVER + words)


@pytest.mark.parametrize("words", OUTAGES)
def test_what_passes_by_waiting(words):
    assert not faults.is_mistake(SERVER + words)


def test_a_password_that_is_asked_for_and_missing_is_a_mistake_in_every_language():
    assert faults.is_mistake("fe_sendauth: kein Passwort angegeben", lacks_password=True)


def test_a_server_that_starts_is_not_a_wrong_database():
    assert "started" in faults.refused(SERVER + OUTAGES[0])
