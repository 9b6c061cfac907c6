"""Waiting for messages without polling: one `Watcher` per event loop and database, whoever waits in it.

A waiter wakes by a notification on the queue's channel, by a timer on the next `vt` (delayed messages, and
messages whose reader let them lapse), by a slow poll, and after every reconnect. Notifications only make it
faster: none is needed for a message to be found.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Hashable, Mapping
from typing import Any

from airflow_pgmq.core.limits import Limits
from airflow_pgmq.services.waiting.waiters import Visible
from airflow_pgmq.services.waiting.watcher import Watcher

__all__ = ["Visible", "Watcher", "shared"]

_watchers: dict[asyncio.AbstractEventLoop, dict[Hashable, Watcher]] = {}


def shared(
    key: Hashable,
    arguments: Mapping[str, Any],
    refresh: Callable[[], Awaitable[Mapping[str, Any]]] | None = None,
    limits: Limits | None = None,
) -> Watcher:
    """The running loop's watcher of a database; call it on the loop, each time anew.

    Other arguments than before lead to another watcher, except for a new password: tokens change by the hour.

    :param key: what the arguments were made of, an Airflow connection id; for the log
    :param arguments: libpq's arguments
    :param refresh: makes them anew, before a reconnect
    :param limits: of its transactions
    """
    for loop in [each for each in _watchers if each.is_closed()]:
        del _watchers[loop]
    watchers = _watchers.setdefault(asyncio.get_running_loop(), {})
    target = tuple(sorted((name, str(value)) for name, value in arguments.items() if name != "password"))
    watcher = watchers.get((key, target))
    if watcher is None:
        watcher = watchers[key, target] = Watcher(arguments, name=str(key), refresh=refresh, limits=limits)
    watcher.connector.arguments = arguments
    return watcher
