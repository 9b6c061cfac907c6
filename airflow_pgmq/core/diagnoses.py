"""What is wrong with a database of queues, decided from facts; each problem has its fix."""

from __future__ import annotations

import re
import shlex
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta

from airflow_pgmq.command_line import command
from airflow_pgmq.core import privileges, problems
from airflow_pgmq.core.messages import Row
from airflow_pgmq.core.overdue import OverdueSlot
from airflow_pgmq.core.pauses import PausedQueue
from airflow_pgmq.core.problems import Problem, Severity
from airflow_pgmq.core.wording import number_of
from airflow_pgmq.errors import ConnectionNotFound, NotConnected, Unanswered, documentation

#: Clocks further apart make tasks give up, and messages expire, at the wrong time.
MAX_SKEW = timedelta(seconds=1)
#: Oldest versions that work: psycopg waits for notifications with a timeout, libpq notices a lost peer.
PSYCOPG, LIBPQ = (3, 2), 120_000
#: Where the upgrade of a PGMQ that was installed by SQL is described; a test runs it.
UPGRADE = f"{documentation.UPGRADING} has the SQL; queues and messages stay."


def unanswered(exc: Unanswered) -> Problem:
    """No question could be asked, or a timeout, a lock or a shutdown ended one."""
    if isinstance(exc, NotConnected):
        return Problem("no_connection", "error", exc.words, exc.fix)
    return Problem("not_answered", "error", exc.words, exc.fix)


def paused(queue: PausedQueue) -> Problem:
    """Somebody has paused a queue: on purpose, and often the answer to why nothing is consumed."""
    return Problem(
        "paused_queue",
        "warning",
        f"Queue {queue.queue_name} is {queue}. Nothing is read from it.",
        f"When the reason is gone: `{command(f'resume-queue {shlex.quote(queue.queue_name)}')}`.",
    )


def reads_on(paused: PausedQueue, roles: Sequence[str]) -> Problem:
    """A queue is paused, and some of its readers may not see that."""
    named = ", ".join(map(repr, roles))
    return Problem(
        "pause_not_seen",
        "warning",
        f"Queue {paused.queue_name} is {paused}. Roles that may read it but not see that read on: {named}.",
        "\n".join(map(privileges.to_see_pauses, roles)),
    )


def unknown_connection(exc: ConnectionNotFound) -> Problem:
    """The connection does not exist: often the first problem of a new user."""
    return Problem("unknown_connection", "error", exc.words, "\n".join(exc.ways))


def driver(psycopg: str, libpq: int) -> list[Problem]:
    """What the installed driver is too old for."""
    found = []
    fix = "pip install --upgrade 'psycopg[binary]>=3.2'"
    if tuple(int(part) for part in re.findall(r"\d+", psycopg)[:2]) < PSYCOPG:
        text = f"psycopg {psycopg} is older than 3.2: waiting for notifications does not work."
        found.append(Problem("old_driver", "error", text, fix))
    if libpq < LIBPQ:
        text = f"libpq {libpq // 10000} does not know tcp_user_timeout: connections of waiters fail."
        found.append(Problem("old_libpq", "error", text, fix))
    return found


def skew(server: datetime, before: datetime, after: datetime) -> list[Problem]:
    """Whether the server's clock, read between two readings of ours, differs too much."""
    off = server - after if server > after else server - before if server < before else timedelta(0)
    if abs(off) <= MAX_SKEW:
        return []
    which = "ahead of" if off > timedelta(0) else "behind"
    text = (
        f"The database's clock is {abs(off.total_seconds()):.1f} s {which} this machine's. Slots and "
        "visibility follow the database's; instants that workers compute (delays, deadlines, expires_at) are "
        "off by that."
    )
    return [
        Problem("clock_skew", "warning", text, "Synchronise both machines by NTP (timedatectl set-ntp true).")
    ]


def installation(server: Row, newest: int) -> list[Problem]:
    """PGMQ and our schema; `newest` is the migration that this package brings."""
    found = []
    if server["standby"]:
        text = f"Database {server['database']!r} is a standby: it can only be read."
        fix = "Let the connection lead to the primary (host=a,b with target_session_attrs=read-write)."
        found.append(Problem("standby", "error", text, fix))
    if not server["pgmq"]:
        text = f"PGMQ is not in database {server['database']!r}."
        found.append(Problem("no_pgmq", "error", text, command("init")))
        return found
    if not server["headers"]:
        text = "This PGMQ is older than 1.5.0 and knows no headers."
        fix = "ALTER EXTENSION pgmq UPDATE;" if server["pgmq_version"] else UPGRADE
        found.append(Problem("old_pgmq", "error", text, fix))
    number = server["migration"]
    if number is not None and number < newest:
        severity: Severity = "warning" if server["may_create"] else "error"
        rest = (
            "it is brought up to date on first use"
            if server["may_create"]
            else "this role may not change that"
        )
        if number:
            text = f"The schema airflow_pgmq is at migration {number} of {newest}; {rest}."
            found.append(Problem("old_schema", severity, text, command("init")))
        else:
            rest = rest.replace("brought up to date", "made")
            text = f"The schema airflow_pgmq (dedup ledger, periodic jobs) is missing; {rest}."
            found.append(Problem("no_schema", severity, text, command("init")))
    return found


def verdict(server: Row, queues: int, lacking: Sequence[Row], wrong: Sequence[Problem]) -> tuple[bool, str]:
    """In a few lines: whether a connection works, what is installed and what its role may do."""
    intro = f"Connected to Postgres {server['version'].split()[0]} as {server['role']}"
    printed = f"`{command('doctor')}` prints those that are missing"
    grants = f"{documentation.PERMISSIONS} has the GRANTs and policies, {printed}"
    errors = [
        f"{each.text} Fix: {each.fix}"
        for each in wrong
        if each.severity == "error" and each.code not in ("missing_grants", "row_security")
    ]
    able = privileges.may(lacking) + (["create queues"] if server["may_create_queues"] else [])
    if errors:
        return False, f"{intro}. " + " ".join(errors)
    if not able:
        hidden = [each.text for each in wrong if each.code == "row_security"]
        return False, " ".join([f"{intro}, which may not use PGMQ; {grants}.", *hidden])
    unable = [work for work in privileges.RIGHTS if work not in able]
    rest = f", and may not {' or '.join(unable)} ({grants})" if unable else ""
    pgmq = f"PGMQ {server['pgmq_version'] or '(installed by SQL)'}, {number_of(queues, 'queue')}"
    number = "that may not be read" if server["migration"] is None else f"at migration {server['migration']}"
    told = ("no_schema", "old_schema", "row_security", "session_setting")
    warnings = [each.text for each in wrong if each.code in told]
    return True, " ".join(
        [f"{intro}: {pgmq}, schema airflow_pgmq {number}. It may {', '.join(able)}{rest}.", *warnings]
    )


def notify(queues: Sequence[Row], passes: bool | None) -> list[Problem]:
    """Whether waiters are woken; `passes` is the result of a real round trip, None if there was none."""
    found = []
    if passes is False:
        text = (
            "Notifications do not pass, as behind a pooler in transaction mode: waiters look every 5 seconds "
            "instead of being woken."
        )
        fix = "Let the connection lead to Postgres itself, or to a pooler in session mode."
        found.append(Problem("deaf", "warning", text, fix))
    for row in queues:
        if row["pgmq_trigger"]:
            text = (
                f"Queue {row['queue_name']!r} has PGMQ's own notify trigger. It runs per row: bulk inserts "
                "take 3 to 488 times as long (throttle 250 ms and 0), senders wait for each other, the last "
                "message of a burst may go unannounced, and a crash of the server silences it."
            )
            found.append(Problem("throttled_notify", "warning", text, row["use_our_trigger"]))
    silent = [row for row in queues if not (row["our_trigger"] or row["pgmq_trigger"])]
    if silent:
        names = ", ".join(row["queue_name"] for row in silent)
        text = f"Inserts are not announced, so waiters look every 5 seconds: {names}."
        fix = "\n".join(row["announce"] for row in silent)
        found.append(Problem("no_notify", "warning", text, fix))
    return found


def indexes(invalid: Sequence[Row], unguarded: Sequence[Row]) -> list[Problem]:
    """Indexes that a failed build left behind, and queues that lack the one of `dedup_scope="queued"`."""
    found = [
        Problem(
            "invalid_index",
            "error" if row["index_name"].endswith("_dedup_idx") else "warning",
            f"Index {row['schema']}.{row['index_name']} is invalid: its build failed, and it is not used.",
            row["rebuild"],
        )
        for row in invalid
    ]
    found += [
        Problem(
            "missing_guard",
            "warning",
            f"Queue {row['queue_name']!r} holds a dedup key twice that dedup_scope='once' does not know, and "
            "the unique index of 'queued' is missing: nothing keeps a key from being there twice.",
            f"-- If it may be there only once: cancel or consume all but one, then\n{row['guard']}",
        )
        for row in unguarded
    ]
    return found


def without_order(queue_name: str) -> Problem:
    """A queue whose messages have groups, and that was never read in order."""
    text = (
        f"Messages of queue {queue_name!r} have groups, and it was never read in order: several messages of "
        "a group may be worked on at once."
    )
    fix = f"Read it with ordered=True; {command(f'index-groups {shlex.quote(queue_name)}')} prepares it."
    return Problem("groups_without_order", "warning", text, fix)


def order(queues: Sequence[Row]) -> list[Problem]:
    """Queues that are read in order: readers without order, stopped groups, acks that are not heard."""
    found = []
    for row in queues:
        name = row["queue_name"]
        if row["torn"]:
            text = (
                f"Queue {name!r} is read in order, and of {number_of(row['torn'], 'group')} several messages "
                "are with readers at once: somebody reads it without order."
            )
            fix = "Let all its consumers read with ordered=True; other clients of PGMQ must not read it."
            found.append(Problem("not_in_order", "warning", text, fix))
        if row["stopped"]:
            stopped = number_of(row["stopped"], "group is", "groups are")
            text = f"Queue {name!r}: {stopped} stopped at a dead message."
            fix = command(f"groups {shlex.quote(name)}")
            found.append(Problem("stopped_groups", "warning", text, fix))
        if not row["settled_trigger"]:
            text = f"Acks of queue {name!r} are not announced, so who waits in order looks every 5 seconds."
            fix = command(f"index-groups {shlex.quote(name)}")
            found.append(Problem("no_settled_notify", "warning", text, fix))
    return found


def overdue(found: Sequence[OverdueSlot]) -> list[Problem]:
    """Slots that did not happen in time, by namespace."""
    by_namespace: dict[str, list[OverdueSlot]] = defaultdict(list)
    for each in found:
        by_namespace[each.namespace].append(each)
    return [
        replace(problem, text=f"Namespace {namespace}: {problem.text}")
        for namespace, slots in by_namespace.items()
        for problem in problems.overdue_slots(slots)
    ]


def ticks(jobs: Sequence[Row], now: datetime) -> list[Problem]:
    """Periodic jobs that no task ticks, and those that are late although a task ticks them."""
    found: list[Problem] = []
    seen = set()
    for row in jobs:
        namespace, ticked_at = row["namespace"], row["ticked_at"]
        if namespace not in seen:
            seen.add(namespace)
            found += problems.of_namespace(
                namespace=namespace, owner=row["owner"], ticked_at=ticked_at, now=now, failed=row["left_out"]
            )
        found += [
            replace(problem, text=f"Job {namespace}/{row['name']}: {problem.text}")
            for problem in problems.of_job(
                paused=row["paused"], next_slot=row["next_slot"], ticked_at=ticked_at, now=now
            )
        ]
    return found
