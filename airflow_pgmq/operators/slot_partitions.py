"""The slots of periodic jobs as partitions of their queues' assets."""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

from airflow import __version__ as airflow_version
from airflow.sdk import Asset

from airflow_pgmq import compat, settings
from airflow_pgmq.core import names, slots
from airflow_pgmq.errors import InvalidArgument

if TYPE_CHECKING:
    from airflow.sdk import Context

#: Airflow stores the events in the request that ends the task. It took 20 ms for each of 100 or 1,000, and
#: 45 ms for each of 3,000; so these are allowed for each second of the request's timeout, and in all.
EVENTS_PER_SECOND = 20
MOST_EVENTS = 1000


def check(partition_by_slot: bool, outlets: Sequence[Any]) -> bool:
    """Whether slots are partitions.

    :raises InvalidArgument: that is not possible here, and why
    """
    if not isinstance(partition_by_slot, bool):
        raise InvalidArgument(f"partition_by_slot must be True or False, not {partition_by_slot!r}")
    if not partition_by_slot:
        return False
    if not compat.gives_partition_keys():
        raise InvalidArgument(
            f"partition_by_slot needs Airflow 3.3 or newer, and this is {airflow_version}; leave it out."
        )
    if not any(isinstance(each, Asset) and each.uri.startswith("pgmq://") for each in outlets):
        raise InvalidArgument(
            "partition_by_slot gives the events of queues' assets their slots, and none is an outlet; add "
            "outlets=[queue_asset(…)] with the queues of the jobs (from airflow_pgmq.assets)."
        )
    return True


def give(
    outlets: Sequence[Any],
    sent: Mapping[str, Collection[datetime]],
    pgmq_conn_id: str,
    context: Context,
    log: logging.Logger | Any,
) -> list[Any]:
    """Give each queue's asset an event for each slot that was sent, and return the outlets to be updated.

    Without the assets of queues that nothing was sent to: Airflow would give each an event without a slot.

    :param sent: the slots, by queue
    """
    by_uri: defaultdict[str, set[datetime]] = defaultdict(set)
    for queue_name, found in sent.items():
        by_uri[names.uri(pgmq_conn_id, queue_name)].update(found)
    newest = _newest([(slot, uri) for uri in {_uri(each) for each in outlets} for slot in by_uri[uri]], log)
    left: list[Any] = []
    for outlet in outlets:
        uri = _uri(outlet)
        if keys := newest.get(uri):
            context["outlet_events"][outlet].add_partitions(sorted(keys))
        if keys or not uri.startswith(f"pgmq://{pgmq_conn_id}/"):
            left.append(outlet)
    return left


def _uri(outlet: Any) -> str:
    return outlet.uri if isinstance(outlet, Asset) else ""


def _newest(sent: Sequence[tuple[datetime, str]], log: logging.Logger | Any) -> dict[str, set[str]]:
    """The partition keys by asset, as many as are allowed."""
    most = min(MOST_EVENTS, max(1, int(EVENTS_PER_SECOND * settings.execution_api_timeout())))
    newest = sorted(sent, reverse=True)[:most]
    if len(sent) > most:
        log.warning(
            "%d slots were sent, and only the newest %d, from %s on, are partitions of their queues' assets. "
            "The messages of the others are in their queues, and start no run; a longer [workers] "
            "execution_api_timeout allows more.",
            len(sent),
            most,
            slots.text(newest[-1][0]),
        )
    found: defaultdict[str, set[str]] = defaultdict(set)
    for slot, uri in newest:
        found[uri].add(slots.text(slot))
    return found
