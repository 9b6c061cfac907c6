"""Waiting for messages without polling: one `Watcher` per event loop and database, for all waiters.

A waiter is woken by a notification on the queue's channel, by a timer on the next `vt` (delayed messages, and
messages whose visibility timeout ends), by a slow poll, and after every reconnect. Notifications only make
it faster: a message is found without them, too.
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
    """The running loop's watcher of a database; call it on the loop, and again for each use.

    Other arguments give another watcher, except for a new password, since tokens change often.

    :param key: the Airflow connection id of the arguments; finds the watcher together with them, and is in
        its log lines
    :param arguments: libpq's arguments
    :param refresh: returns fresh arguments, before a reconnect
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
