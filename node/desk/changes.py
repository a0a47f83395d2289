"""Whether anything was written to the ledger since somebody last looked."""

from __future__ import annotations

from node.ledger.database import Ledger


def version(ledger: Ledger) -> int:
    """A number that is another one after each transaction of anybody else (SQLite's `PRAGMA data_version`)."""
    ((number,),) = ledger.database.execute("PRAGMA data_version").fetchall()
    return int(number)
