"""Every error that this package raises on purpose. Catch one of them, or a family.

PgmqError
├── InvalidInput              correct the input; also a ValueError
│   ├── InvalidArgument
│   │   ├── InvalidName
│   │   └── InvalidQuery
│   ├── InvalidMessage
│   └── InvalidJobs
├── NotFound                  create it, or correct its name
│   ├── ConnectionNotFound
│   ├── QueueNotFound
│   ├── JobNotFound
│   └── CalendarNotFound
├── SetupRequired             the administrator of the database or Airflow must change something first
│   ├── InvalidConnection
│   ├── NotInstalled
│   ├── CodeTooOld
│   ├── FeatureMissing
│   ├── GuardMissing
│   ├── GroupIndexMissing
│   ├── PermissionDenied
│   ├── NotSent
│   └── NotRemoved
├── Unanswered                try again, later
│   ├── NotConnected
│   ├── BrokenOff
│   └── LimitReached
│       └── LockTimeout
├── Conflict                  somebody or something else was there first
│   ├── DuplicateMessage
│   ├── MessageLost
│   ├── ArchiveRefused
│   ├── NamespaceTaken
│   ├── JobDeclared
│   ├── JobChanged
│   ├── CalendarChanged
│   └── LostRace
└── WorkFailed                correct the function or the SQL that consumes messages
    ├── MessagesFailed
    ├── InvalidOutcome
    └── TransactionEnded

Each class says when it is raised and what to do then; docs/reference/errors.md has the same as a table. Other
errors of psycopg are not translated. `PgmqWarning` is for what works, but probably not as it was meant.
"""

from __future__ import annotations

from airflow_pgmq.errors.base import PgmqError, PgmqWarning, queue_of, text_of
from airflow_pgmq.errors.conflict import (
    ArchiveRefused,
    CalendarChanged,
    Conflict,
    DuplicateMessage,
    JobChanged,
    JobDeclared,
    LostRace,
    MessageLost,
    NamespaceTaken,
)
from airflow_pgmq.errors.invalid_input import (
    InvalidArgument,
    InvalidInput,
    InvalidJobs,
    InvalidMessage,
    InvalidName,
    InvalidQuery,
)
from airflow_pgmq.errors.not_found import (
    CalendarNotFound,
    ConnectionNotFound,
    JobNotFound,
    NotFound,
    QueueNotFound,
)
from airflow_pgmq.errors.setup_required import (
    CodeTooOld,
    FeatureMissing,
    GroupIndexMissing,
    GuardMissing,
    InvalidConnection,
    NotInstalled,
    NotRemoved,
    NotSent,
    PermissionDenied,
    SetupRequired,
)
from airflow_pgmq.errors.unanswered import BrokenOff, LimitReached, LockTimeout, NotConnected, Unanswered
from airflow_pgmq.errors.work_failed import InvalidOutcome, MessagesFailed, TransactionEnded, WorkFailed

__all__ = [
    "ArchiveRefused",
    "BrokenOff",
    "CalendarChanged",
    "CalendarNotFound",
    "CodeTooOld",
    "Conflict",
    "ConnectionNotFound",
    "DuplicateMessage",
    "FeatureMissing",
    "GroupIndexMissing",
    "GuardMissing",
    "InvalidArgument",
    "InvalidConnection",
    "InvalidInput",
    "InvalidJobs",
    "InvalidMessage",
    "InvalidName",
    "InvalidOutcome",
    "InvalidQuery",
    "JobChanged",
    "JobDeclared",
    "JobNotFound",
    "LimitReached",
    "LockTimeout",
    "LostRace",
    "MessageLost",
    "MessagesFailed",
    "NamespaceTaken",
    "NotConnected",
    "NotFound",
    "NotInstalled",
    "NotRemoved",
    "NotSent",
    "PermissionDenied",
    "PgmqError",
    "PgmqWarning",
    "QueueNotFound",
    "SetupRequired",
    "TransactionEnded",
    "Unanswered",
    "WorkFailed",
    "queue_of",
    "text_of",
]

# Tracebacks, and Airflow's logs of them, name what users import.
for _name in __all__:
    globals()[_name].__module__ = __name__
