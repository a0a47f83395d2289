"""What studies are found by is written with the study itself."""

from __future__ import annotations

from node.index import corrections
from node.ledger import events, studies, study_search
from node.ledger.study_search import StudySearch
from node.ledger.study_words import folded
from tests.support.images.receipts import STUDY, arrive, ct
from tests.support.sites.index_room import Room


def found(room: Room, text: str) -> list[str]:
    """Studies with all words of a text."""
    rows = study_search.find(room.ledger.database, StudySearch(words=folded(text)), 9)
    return [each.study_instance_uid for each in rows]


def test_a_study_is_found_as_soon_as_its_first_image_is_indexed(room: Room) -> None:
    """By name, Patient ID and description, and its row says date and modality; the name is in no event."""
    arrive(room.data_folder, ct(1, PatientName="Müller^Anna", StudyDescription="Thorax nativ", StudyDate="20260301"))
    room.index.run_once()
    assert found(room, "muller anna p1 nativ") == [STUDY]
    row = studies.get(room.ledger.database, STUDY)
    assert row is not None
    assert (row.patient_name, row.study_date, row.modalities) == ("Müller^Anna", "20260301", "CT")
    told = " ".join(str(each.detail) for each in events.of_study(room.ledger.database, STUDY))
    assert "ller" not in told


def test_a_corrected_study_is_found_by_its_corrected_name(room: Room) -> None:
    """And no more by the wrong one."""
    arrive(room.data_folder, ct(1, PatientName="Wrong^Name"))
    room.index.run_once()
    arrive(room.data_folder, ct(1, PatientName="Right^Name", PatientID="P2"))
    room.index.run_once()
    assert found(room, "wrong") == [STUDY]
    assert corrections.take_newest(room.ledger, room.clock.now(), STUDY)
    assert (found(room, "wrong"), found(room, "right p2")) == ([], [STUDY])
