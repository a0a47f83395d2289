"""Which of an archive's studies is wanted."""

from __future__ import annotations

from node.fetch.seeking import PriorCriteria, candidates, series_of

WANTED = PriorCriteria("20220102", "20240102", ["CT"], ["CHEST"], ["*chest*"])


def answer(uid: str, date: str, **more: str) -> dict[str, str]:
    plain = {
        "PatientID": "P1",
        "IssuerOfPatientID": "",
        "StudyInstanceUID": uid,
        "StudyDate": date,
        "StudyTime": "120000",
        "StudyDescription": "CT Chest low dose",
        "ModalitiesInStudy": "CT\\SR",
    }
    return {**plain, **more}


def found(*answers: dict[str, str], issuer: str = "", wanted: PriorCriteria = WANTED) -> list[str]:
    chosen = candidates(answers, wanted, study="1.1", patient_id="P1 ", issuer=issuer)
    return [each["StudyInstanceUID"] for each in chosen]


def test_newest_first() -> None:
    """By date, then by time of the day."""
    late, early = answer("1.3", "20230301", StudyTime="180000"), answer("1.4", "20230301", StudyTime="080000")
    assert found(answer("1.2", "20220601"), early, late) == ["1.3", "1.4", "1.2"]


def test_what_an_archive_answers_is_looked_at_again() -> None:
    """One that ignores keys must not bring another patient's study, or a later one."""
    assert found(answer("1.1", "20230301")) == []
    assert found(answer("1.2", "20230301", PatientID="P11")) == []
    assert found(answer("1.2", "20230301", PatientID="P1   ")) == ["1.2"]
    assert found(answer("1.2", "20211231")) == found(answer("1.2", "20240103")) == found(answer("1.2", "")) == []
    assert found(answer("1.2", "20240102")) == ["1.2"]
    assert found(answer("1.2", "20230301", ModalitiesInStudy="MR\\SR")) == []
    assert found(answer("1.2", "20230301", ModalitiesInStudy="")) == ["1.2"]
    assert found(answer("1.2", "20230301", StudyDescription="CT head")) == []


def test_the_issuer_counts_where_both_sides_state_one() -> None:
    """The same number from two hospitals is two patients."""
    other = answer("1.2", "20230301", IssuerOfPatientID="B")
    assert (found(other, issuer="A"), found(other, issuer="B"), found(other, issuer="")) == ([], ["1.2"], ["1.2"])


def test_series_that_will_do() -> None:
    """Of the modality and body part; what the archive does not say is no reason against."""
    answers = [
        {"SeriesInstanceUID": "1", "Modality": "CT", "BodyPartExamined": "CHEST"},
        {"SeriesInstanceUID": "2", "Modality": "SR", "BodyPartExamined": ""},
        {"SeriesInstanceUID": "3", "Modality": "CT", "BodyPartExamined": "HEAD"},
        {"SeriesInstanceUID": "4", "Modality": "CT", "BodyPartExamined": ""},
        {"SeriesInstanceUID": "", "Modality": "CT", "BodyPartExamined": ""},
    ]
    assert series_of(answers, WANTED) == ["1", "4"]
