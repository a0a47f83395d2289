"""After an upgrade: is everything there that the ledger's rows name, and do its tallies say what counting gives?

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
from node.ledger import encoding_queue, events, file_checks, instances, objects, tallies
from node.ledger.database import Database, Ledger
from node.ledger.event_kinds import EventKind
from node.ledger.schema.versions import VERSIONS
from node.store.layout import LAYOUT, DataFolder

log = structlog.get_logger(__name__)
_EXAMPLES = 10


def check_files(ledger: Ledger, data_folder: DataFolder, clock: Clock) -> None:
    """Look for every file that a row names, once for each release, schema and layout; record what was found."""
    program = {"release": __version__, "schema": VERSIONS[-1], "layout": LAYOUT}
    last = file_checks.last(ledger.database)
    if last is not None and last.program == program:
        return
    _check_tallies(ledger, clock)
    images = sorted(_images_missing(ledger.database, data_folder))
    results = sorted(_results_missing(ledger.database, data_folder.data))
    if images or results:
        log.error("serve.files-missing", images=len(images), results=len(results))
    examples = [*images[:_EXAMPLES], *results[:_EXAMPLES]]
    with ledger.transaction() as database:
        file_checks.record(database, clock.now(), program, images=len(images), results=len(results), examples=examples)


def _check_tallies(ledger: Ledger, clock: Clock) -> None:
    """The numbers that are kept instead of counted are what counting gives; else they are counted again, once."""
    wrong = tallies.wrong(ledger.database)
    if not wrong:
        return
    log.error("serve.tallies-wrong", tallies=len(wrong))
    with ledger.transaction() as database:
        tallies.count_again(database)
        told = [f"{each.name} {each.place} {each.status}: {each.tallied}, counted {each.counted}" for each in wrong]
        events.record(database, clock.now(), EventKind.TALLIES_MENDED, tallies=told)


def _images_missing(database: Database, data_folder: DataFolder) -> Iterator[str]:
    """Receipts that are neither in the store nor in `incoming/`; each folder is listed once."""
    first_release, waiting = data_folder.in_first_layout(), frozenset(data_folder.waiting())
    for folder, receipts in groupby(instances.receipts(database), lambda receipt: data_folder.stored(receipt).parent):
        names = _names(folder)
        for receipt in receipts:
            if f"{receipt}.dcm" not in names and receipt not in first_release and receipt not in waiting:
                yield receipt


def _results_missing(database: Database, data: Path) -> Iterator[str]:
    """Files of result objects, and results that are still to be encoded, relative to the data folder."""
    for file in (*objects.files(database), *encoding_queue.results_to_encode(database)):
        if not (data / file).exists():
            yield file


def _names(folder: Path) -> frozenset[str]:
    try:
        return frozenset(os.listdir(folder))
    except FileNotFoundError:
        return frozenset()
