"""At each start: does the ledger know the images that are in the store?

A ledger that was lost, emptied, or restored from an older copy knows nothing of what came since, although it was
answered with success. Receipts are numbered by arrival, so one look at the newest name of either is enough. What is not
known is indexed again while the node runs (`index.reindexing`); `status` shows it until that is done.
"""

from __future__ import annotations

import structlog

from node.clock import Clock
from node.ledger import instances, reindexings
from node.ledger.database import Ledger
from node.store.layout import DataFolder

log = structlog.get_logger(__name__)


def check(ledger: Ledger, data_folder: DataFolder, clock: Clock) -> None:
    """Record and report that the store holds receipts above the newest that the ledger knows, once each time."""
    known, stored = instances.newest_receipt(ledger.database), data_folder.newest_stored()
    if stored <= known:
        return
    begun = reindexings.under_way(ledger.database)
    if begun is not None and begun.up_to == stored:
        return  # under way: the last start said it
    log.error("serve.ledger-behind-store", newest_known=known or "none", newest_stored=stored)
    with ledger.transaction() as database:
        reindexings.begin(database, clock.now(), newest_known=known, up_to=stored)
