"""After an upgrade: is everything there that the ledger's rows name?

What an earlier release kept in another place or form would otherwise be missed one by one, when a job or a commitment
needs it. So the first start of a release, of a schema of the ledger or of a layout of the data folder looks for every
file that a row names, before anything is received. What is missing is one alert with its number and examples, which
`status` shows at the top until a later check finds it all.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from itertools import groupby
from pathlib import Path

import structlog

from node import __version__
from node.clock import Clock
from node.ledger import events, instances, jobs, objects
from node.ledger.database import Database, Ledger
from node.ledger.events import FILES_CHECKED, FILES_MISSING, Severity
from node.ledger.schema.migrations import VERSIONS
from node.store.layout import LAYOUT, Spool

log = structlog.get_logger(__name__)
_EXAMPLES = 10


def check_files(ledger: Ledger, spool: Spool, clock: Clock) -> None:
    """Look for every file that a row names, once for each release, schema and layout; record what was found."""
    program = {"release": __version__, "schema": VERSIONS[-1], "layout": LAYOUT}
    last = events.latest_of(ledger.database, (FILES_CHECKED, FILES_MISSING))
    if last is not None and last.detail["program"] == program:
        return
    images = sorted(_images_missing(ledger.database, spool))
    results = sorted(_results_missing(ledger.database, spool.data))
    with ledger.transaction() as database:
        if not images and not results:
            events.record(database, clock.now(), FILES_CHECKED, program=program)
            return
        log.error("serve.files-missing", images=len(images), results=len(results))
        events.record(
            database,
            clock.now(),
            FILES_MISSING,
            severity=Severity.ALERT,
            program=program,
            images=len(images),
            results=len(results),
            examples=[*images[:_EXAMPLES], *results[:_EXAMPLES]],
        )


def _images_missing(database: Database, spool: Spool) -> Iterator[str]:
    """Receipts that are neither in the store nor in `incoming/`; each folder is listed once."""
    first_release, waiting = spool.in_first_layout(), frozenset(spool.waiting())
    for folder, receipts in groupby(instances.receipts(database), lambda receipt: spool.stored(receipt).parent):
        names = _names(folder)
        for receipt in receipts:
            if f"{receipt}.dcm" not in names and receipt not in first_release and receipt not in waiting:
                yield receipt


def _results_missing(database: Database, data: Path) -> Iterator[str]:
    """Files of result objects, and results that are still to be encoded, relative to the data folder."""
    for file in (*objects.files(database), *jobs.results_to_encode(database)):
        if not (data / file).exists():
            yield file


def _names(folder: Path) -> frozenset[str]:
    try:
        return frozenset(os.listdir(folder))
    except FileNotFoundError:
        return frozenset()
