"""How many rows each transaction of a connection changes, those of triggers and of the history included."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from node.ledger.database import Ledger

MOST = 1000
"""Rows that a transaction may change: that takes some milliseconds."""


@contextmanager
def counted(ledger: Ledger) -> Iterator[list[int]]:
    """The rows of each transaction that this thread commits meanwhile."""
    connection = ledger.database.conn
    rows: list[int] = []
    begun = connection.total_changes

    def see(sql: str) -> None:
        nonlocal begun
        if sql.startswith("BEGIN"):
            begun = connection.total_changes
        elif sql.startswith("COMMIT"):
            rows.append(connection.total_changes - begun)

    connection.set_trace_callback(see)
    try:
        yield rows
    finally:
        connection.set_trace_callback(None)
