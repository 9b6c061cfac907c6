"""Which incarnation of a queue the ledger and the slots speak of.

Others may drop a queue and make it again, restore a database without its table, or crash the server of an
unlogged one. Its ids start again then, its messages are gone, and nothing that was known of it holds.
"""

from __future__ import annotations

from datetime import timedelta

from airflow_pgmq.core.messages import Row

#: For so long, people are told that a queue was lost and made again.
NEWS = timedelta(days=1)


def is_same(mark: Row) -> bool:
    """Whether it is, without a doubt, the known one: what has taken its mark does not empty it."""
    return bool(
        mark["same_creation"] and mark["same_relation"] and not mark["unlogged"] and not mark["was_unlogged"]
    )


def may_have_moved(mark: Row) -> bool:
    """Whether it may be the same queue in another table, as after a restore: then its ids have gone on.

    What has emptied the marks has emptied every unlogged queue, whatever else is the same.
    """
    return bool((mark["same_creation"] or mark["same_relation"]) and (mark["alive"] or not mark["unlogged"]))
