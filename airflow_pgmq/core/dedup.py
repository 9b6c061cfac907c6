"""Dedup settings that several modules share."""

from __future__ import annotations

from datetime import timedelta

#: How long a key of scope `once`, and a slot of a periodic job, is remembered by default.
DEDUP_WINDOW = timedelta(days=7)
