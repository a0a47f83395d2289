"""UIDs that the Standard does not allow: decided when an instance is indexed, before anything runs."""

from __future__ import annotations

import pytest

from node.ledger import instances
from rules.facts import BAD_UID
from tests.support import history
from tests.support.images.receipts import arrive, ct
from tests.support.sites.index_room import Room, configuration

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")


def _marks(room: Room, receipt: str) -> str:
    row = instances.by_receipt(room.ledger.database, receipt)
    assert row is not None
    assert row.status == "current"
    return row.marks.get(BAD_UID, "")


@pytest.mark.parametrize("uid", ["1.2.03", "1..2", ".", "..", "1.2.", "0" * 64])
@pytest.mark.parametrize("strict", [False, True])
def test_finding_s9_what_can_be_copied_is_marked_where_the_site_is_strict(
    room: Room, uid: str, *, strict: bool
) -> None:
    """Digits and dots, up to 64: as received by default; `strict` keeps it out of plugins."""
    room.index.use(configuration(node={"uids": "strict" if strict else "as-received"}))
    receipt = arrive(room.data_folder, ct(StudyInstanceUID=uid))
    room.index.run_once()
    assert ("StudyInstanceUID" in _marks(room, receipt)) is strict


@pytest.mark.parametrize("uid", ["1." * 32 + "1", "1.2.3a", "1.2/3", "unknown", "1.2.3;"])
def test_finding_s9_what_nothing_can_refer_to_is_stored_and_given_to_no_plugin(room: Room, uid: str) -> None:
    """Over 64 characters or other characters: stored and marked, whatever the site says."""
    receipt = arrive(room.data_folder, ct(StudyInstanceUID=uid, SeriesInstanceUID=uid))
    room.index.run_once()
    assert _marks(room, receipt).startswith("StudyInstanceUID, SeriesInstanceUID: ")


def test_finding_s9_a_sender_is_one_alert_and_an_event_a_day(room: Room) -> None:
    """Three studies of one sender and one of another are an alert each; the next day an event says it again."""
    for number, sender in enumerate(("CT1", "CT1", "MR1")):
        arrive(
            room.data_folder,
            ct(number, StudyInstanceUID=f"1.2.x{number}", SOPInstanceUID=f"1.2.{number}"),
            calling=sender,
        )
    room.index.run_once()
    arrive(room.data_folder, ct(4, StudyInstanceUID="1.2.x4", SOPInstanceUID="1.2.4"))
    room.index.run_once()
    room.clock.pass_(days=1)
    arrive(room.data_folder, ct(5, StudyInstanceUID="1.2.x5", SOPInstanceUID="1.2.5"))
    room.index.run_once()
    told = room.events("sender.bad-uids")
    assert [event.detail["calling_ae_title"] for event in told] == ["CT1", "MR1", "CT1"]
    open_now = history.open_alerts(room.ledger.database)
    assert sorted((each.kind, each.place) for each in open_now) == [
        ("sender.bad-uids", "CT1"),
        ("sender.bad-uids", "MR1"),
    ]


def test_finding_s9_the_alert_is_over_when_the_sender_is_mended(room: Room) -> None:
    """A sound object of the same day does not close it; one of the next day does, and a bad one opens it again."""

    def received(number: int, uid: str) -> list[str]:
        arrive(room.data_folder, ct(number, StudyInstanceUID=uid, SOPInstanceUID=f"1.2.{number}"))
        room.index.run_once()
        return [each.place for each in history.open_alerts(room.ledger.database)]

    assert received(1, "1.2.x1") == ["CT1"]
    assert received(2, "1.2.2") == ["CT1"]
    room.clock.pass_(days=1)
    assert received(3, "1.2.3") == []
    assert received(4, "1.2.x4") == ["CT1"]
