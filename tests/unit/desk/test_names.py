"""How lists of `status` name a study."""

from __future__ import annotations

import pytest

from node.desk.names import StudyName

UID = "1.2.826.0.1.3680043.8.498.12345678901"


@pytest.mark.parametrize(
    ("named", "text"),
    [
        (StudyName(UID, "20260302-0017", "CT", "20260302"), "20260302-0017 CT"),
        (StudyName(UID, "", "MR+SR", "20260302"), "2026-03-02 MR+SR …5678901"),
        (StudyName(UID, "", "", "20260302"), "2026-03-02 …5678901"),
        (StudyName(UID, "", "CT", "2026.03.02"), "…8.12345678901 CT"),
        (StudyName(UID), "…8.12345678901"),
    ],
)
def test_finding_o9_a_study_without_accession_number_is_named_by_its_date(named: StudyName, text: str) -> None:
    """And by its modalities and the end of its UID, which `pacsnode study` finds; never by its patient."""
    assert str(named) == text
