"""Which incarnation of a queue the ledger and the slots speak of.

Others may drop a queue and make it again, restore a database without its table, or crash the server of an
unlogged one. Its ids start again then, its messages are gone, and nothing that was known of it holds.
"""

from __future__ import annotations

from datetime import timedelta

from airflow_pgmq.core.messages import Row

#: For so long, people are told that a queue was lost and made again.
NEWS = timedelta(days=1)


def is_settled(mark: Row) -> bool:
    """Whether the queue is, without a doubt, the one that is known."""
    return bool(
        mark["same_creation"]
        and mark["same_relation"]
        and mark["was_unlogged"] == mark["unlogged"]
        and (mark["alive"] or not mark["unlogged"])
    )


def may_have_moved(mark: Row) -> bool:
    """Whether it may be the same queue in another table, as after a restore: then its ids have gone on.

    A queue that was unlogged and has lost its witness was emptied, whatever else is the same.
    """
    return bool(
        (mark["same_creation"] or mark["same_relation"]) and (mark["alive"] or not mark["was_unlogged"])
    )
