"""Objects of plugins that come back from the PACS: no part of the study, also where nothing in them names this node."""

from __future__ import annotations

import sqlite3

from node.ledger import studies
from tests.support.images.receipts import STUDY, arrive, ct
from tests.support.sites.index_room import Room


def test_a_copy_of_what_a_plugin_returned_is_our_own(room: Room) -> None:
    """Known by its SOP Instance UID, class and series: no revision, nothing that a rule could match."""
    arrive(room.data_folder, ct(1))
    room.quiet()
    beside = sqlite3.connect(room.data / "ledger.db")  # without foreign keys: the job is of no interest here
    made = ct(9)
    uids = (str(made.SOPInstanceUID), str(made.SOPClassUID), str(made.SeriesInstanceUID))
    row = ("a job", 1, *uids, "SR", "ACME", 0, 0)
    beside.execute("INSERT INTO returned_objects VALUES (?,?,?,?,?,?,?,?,?)", row)
    beside.commit()
    beside.close()
    arrive(room.data_folder, ct(9))
    room.quiet()
    assert room.statuses() == ["current", "own"]
    study = studies.get(room.ledger.database, STUDY)
    assert study is not None
    assert study.revision == 1
