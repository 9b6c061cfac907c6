"""Callbacks for slots that are overdue."""

from __future__ import annotations

import copy
import logging
from collections import Counter
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

from airflow_pgmq.core.overdue import OverdueSlot, summary
from airflow_pgmq.errors import InvalidArgument

if TYPE_CHECKING:
    from airflow.sdk import Context

#: A function of the task's context, or a notifier; the context has the `OverdueSlot` as `overdue`.
OverdueCallback: TypeAlias = Callable[..., Any]


def check(callbacks: OverdueCallback | Sequence[OverdueCallback] | None) -> list[OverdueCallback]:
    """The callbacks as a list.

    :raises InvalidArgument: one of them cannot be called
    """
    found = [callbacks] if callable(callbacks) else list(callbacks or ())
    for each in found:
        if not callable(each):
            raise InvalidArgument(f"on_overdue takes functions and notifiers, not {each!r}.")
    return found


def tell(
    late: Sequence[OverdueSlot],
    callbacks: Sequence[OverdueCallback],
    context: Context,
    log: logging.Logger | Any,
) -> None:
    """Log and count overdue slots, and call each callback for each of them; an error does not stop others."""
    from airflow_pgmq import metrics

    if not late:
        return
    log.warning("%s", summary(late))
    for queue_name, count in Counter(each.queue_name for each in late).items():
        metrics.overdue(queue_name, count)
    for each in late:
        for callback in callbacks:
            try:
                # A copy, because a notifier keeps the text of its templates once they are rendered.
                copy.copy(callback)({**context, "overdue": each})
            except Exception:
                log.exception("A callback of on_overdue failed for: %s", each)
