"""What is said of dedup in more than one place."""

from __future__ import annotations

from datetime import timedelta

#: How long a key of scope `once`, and a slot of a periodic job, is remembered where nobody says how long.
DEDUP_WINDOW = timedelta(days=7)
