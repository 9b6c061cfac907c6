"""Tells the notifiers of an operator of slots that are overdue."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from copy import copy
from typing import TYPE_CHECKING, Any, TypeAlias

from airflow_pgmq.core.overdue import OverdueSlot
from airflow_pgmq.errors import InvalidArgument

if TYPE_CHECKING:
    from airflow_pgmq.services.overdue import Tell

#: A notifier of Airflow's, or any function, that takes the context.
Notifier: TypeAlias = Callable[[Any], Any]

_log = logging.getLogger(__name__)


def checked(on_overdue: Notifier | Sequence[Notifier] | None) -> list[Notifier]:
    """The notifiers, as a list.

    :raises InvalidArgument: one of them cannot be called
    """
    given = [] if on_overdue is None else [on_overdue] if callable(on_overdue) else list(on_overdue)
    if wrong := [each for each in given if not callable(each)]:
        raise InvalidArgument(
            f"on_overdue takes notifiers, or functions of the context, not {type(wrong[0]).__name__}."
        )
    return given


def teller(notifiers: Sequence[Notifier], context: Mapping[str, Any]) -> Tell | None:
    """What tells all of these notifiers; None if there are none."""
    if not notifiers:
        return None

    def tell(slot: OverdueSlot) -> bool:
        """Whether one of them took it: then nobody else has to. A failure does not stop the others."""
        _log.warning("Overdue: %s", slot)
        took = [_took(each, {**context, "overdue": slot}) for each in notifiers]
        return any(took)

    return tell


def _took(notifier: Notifier, context: Mapping[str, Any]) -> bool:
    from airflow.sdk import BaseNotifier

    try:
        # A notifier replaces its own templates by what it has rendered, for this slot.
        (copy(notifier) if isinstance(notifier, BaseNotifier) else notifier)(context)
    except Exception:
        _log.exception("%s was not told", getattr(notifier, "__name__", type(notifier).__name__))
        return False
    return True
