"""PGMQ as plain SQL, for a server that does not offer the extension."""

from __future__ import annotations


def bundled_pgmq() -> str | None:
    """PGMQ's SQL from the official client, if it is installed (extra `sql`)."""
    try:
        from pgmq.install import get_embedded_install_sql
    except ImportError:
        return None
    text: str = get_embedded_install_sql()
    return text
