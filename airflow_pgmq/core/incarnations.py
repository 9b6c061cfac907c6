"""Which incarnation of a queue the ledger and the slots refer to.

A queue may be dropped and made again, lost in a restore without its table, or, if unlogged, emptied by a
crash of the server. Then its ids start again, its messages are gone, and what was stored of it is wrong.
"""

from __future__ import annotations

from datetime import timedelta

from airflow_pgmq.core.messages import Row

#: How long people are told that a queue was lost and made again.
NEWS = timedelta(days=1)


def is_same(mark: Row) -> bool:
    """Whether it is certainly the known one; a crash that removes the marks does not empty a logged queue."""
    return bool(
        mark["same_creation"] and mark["same_relation"] and not mark["unlogged"] and not mark["was_unlogged"]
    )


def may_have_moved(mark: Row) -> bool:
    """Whether it may be the same queue in another table, as after a restore: then its ids have gone on.

    A crash that emptied the marks has emptied every unlogged queue too, even if all else is the same.
    """
    return bool((mark["same_creation"] or mark["same_relation"]) and (mark["alive"] or not mark["unlogged"]))
