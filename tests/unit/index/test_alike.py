"""A second copy that differs in form only is a duplicate; one that differs in substance never is."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from pydicom import Dataset
from pydicom.dataelem import DataElement
from pydicom.uid import ImplicitVRLittleEndian

from node.ledger import studies
from tests.support.images.receipts import STUDY, arrive, code, compressed, ct, encoded
from tests.support.sites.index_room import Room

ASKED = code("CT1", "99SITE", "Chest")
pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")


def _asked(**changes: Any) -> Dataset:
    request = Dataset()
    request.RequestedProcedureID, request.RequestedProcedureDescription = "RP1", "CT chest"
    for keyword, value in changes.items():
        setattr(request, keyword, value)
    return request


def twice(room: Room, first: Dataset | bytes, second: Dataset | bytes, **how: Any) -> list[str]:
    arrive(room.data_folder, first, sop_instance_uid="1.2.3.1.1.1")
    room.index.run_once()
    arrive(room.data_folder, second, sop_instance_uid="1.2.3.1.1.1", **how)
    room.index.run_once()
    return room.statuses()


IN_FORM: dict[str, tuple[Dataset, Dataset]] = {
    "capitals": (ct(), ct(PatientName="HONG^GILDONG")),
    "mixed case and carets": (ct(PatientName="de la Cruz^María"), ct(PatientName="DE LA CRUZ^MARÍA^^^")),
    "spaces at carets": (ct(PatientName="Hong ^ Gildong"), ct(PatientName="Hong^Gildong ")),
    "two spaces": (ct(PatientName="de  la Cruz^M"), ct(PatientName="de la Cruz^M")),
    "empty groups": (ct(PatientName="Hong^Gildong"), ct(PatientName="Hong^Gildong==")),
    "a dotted date": (ct(), ct(PatientBirthDate="1960.01.01")),
    "a time without fraction": (ct(StudyTime="113000.123"), ct(StudyTime="113000")),
    "a lower case sex": (ct(), ct(PatientSex="m")),
    "spaces at identifiers": (ct(), ct(PatientID=" P1 ", AccessionNumber="A1 ")),
    "another set": (
        ct(PatientName="Müller^Jörg"),
        ct(PatientName="Müller^Jörg", SpecificCharacterSet="ISO_IR 100"),
    ),
    "composed letters": (ct(PatientName="Mu\u0308ller"), ct(PatientName="M\u00fcller")),
    "the request in capitals": (
        ct(RequestAttributesSequence=[_asked()]),
        ct(RequestAttributesSequence=[_asked(RequestedProcedureDescription="CT chest ", ScheduledProcedureStepID="")]),
    ),
    "decimals": (ct(), ct(ImagePositionPatient=["0.0", "0.00", "1.0"], PixelSpacing=["0.70", "7E-1"])),
}


@pytest.mark.parametrize("case", IN_FORM)
@pytest.mark.parametrize("turned", [False, True])
def test_finding_d4_a_difference_in_form_is_a_duplicate(room: Room, case: str, *, turned: bool) -> None:
    """Whichever came first: no hold, no quarantine, no alert."""
    first, second = IN_FORM[case][:: -1 if turned else 1]
    assert twice(room, first, second) == ["current", "duplicate"]
    study = studies.get(room.ledger.database, STUDY)
    assert study is not None
    assert study.hold is None


def test_finding_d4_what_differs_is_recorded(room: Room) -> None:
    """The event of the duplicate names the attribute, never its value."""
    twice(room, ct(), ct(PatientName="HONG^GILDONG", PatientSex="m"))
    (event,) = room.events("instance.duplicate")
    assert event.detail["differences"] == ["PatientName", "PatientSex"]
    assert "HONG" not in str(event.detail)


@pytest.mark.parametrize("padding", [b"\0", b"\0\0", b"\xff\x01"])
def test_finding_d4_padding_behind_the_pixels_is_no_conflict(room: Room, padding: bytes) -> None:
    """One byte or two; also where only one of the two copies has it in another encoding."""
    padded = ct()
    padded.PixelData += padding if len(padding) == 2 else padding * 2
    assert twice(room, ct(), encoded(padded)) == ["current", "duplicate"]
    assert twice(room, padded, ct(), syntax=ImplicitVRLittleEndian)[-1] == "duplicate"


def _private(dataset: Dataset) -> None:
    block = dataset.private_block(0x0041, "SOME PACS", create=True)
    block.add_new(1, "LO", "kept here")


def _nested_private(dataset: Dataset) -> None:
    dataset.RequestAttributesSequence = [_asked()]
    _private(dataset.RequestAttributesSequence[0])


def _group_lengths(dataset: Dataset) -> None:
    for group in (0x0008, 0x0010, 0x0020):
        dataset.add(DataElement(group << 16, "UL", 100))


def _undefined(dataset: Dataset) -> None:
    dataset.RequestAttributesSequence = [_asked()]
    dataset["RequestAttributesSequence"].is_undefined_length = True


@pytest.mark.parametrize("change", [_private, _nested_private, _group_lengths, _undefined])
def test_finding_d4_what_an_archive_adds_is_no_correction(room: Room, change: Callable[[Dataset], None]) -> None:
    """Private attributes, also in items, group lengths, sequences of undefined length."""
    first, second = ct(), ct()
    if change in (_nested_private, _undefined):
        first.RequestAttributesSequence = [_asked()]
    change(second)
    assert twice(room, first, second) == ["current", "duplicate"]


def _report(**changes: Any) -> Dataset:
    report = compressed(ct(), "1.2.840.10008.1.2.5")
    for element in [each for each in report if each.tag.group in (0x0018, 0x0028, 0x7FE0)]:
        del report[element.tag]
    report.SOPClassUID, report.Modality = "1.2.840.10008.5.1.4.1.1.88.33", "SR"
    item = Dataset()
    item.ValueType, item.TextValue = "TEXT", "Größe 5 mm"
    item.ConceptNameCodeSequence = [code("121071", "DCM", "Finding")]
    report.ContentSequence = [item]
    for keyword, value in changes.items():
        setattr(report, keyword, value)
    return report


def test_finding_d4_a_report_in_another_character_set_is_the_same_report(room: Room) -> None:
    """All its texts are what they were; private attributes beside them do not count."""
    second = _report(SpecificCharacterSet="ISO_IR 100")
    _private(second)
    assert twice(room, _report(), second) == ["current", "duplicate"]


def test_finding_d4_a_report_that_says_something_else_is_a_conflict(room: Room) -> None:
    """One letter of its text differs, and nothing else."""
    second = _report()
    second.ContentSequence[0].TextValue = "Größe 6 mm"
    assert twice(room, _report(), second) == ["current", "conflict"]


def _raw_name(raw: bytes) -> bytes:
    """An image in EUC-KR that does not say so."""
    image = ct(PatientName="X" * len(raw), SpecificCharacterSet=None)
    return encoded(image).replace(b"X" * len(raw), raw)


@pytest.mark.parametrize(
    ("first", "second", "status"),
    [
        (ct(), ct(PatientName="Hong^Gildon"), "correction"),
        (ct(PatientName="Müller"), ct(PatientName="Muller"), "correction"),
        (ct(), ct(PatientID="p1"), "correction"),
        (ct(), ct(PatientBirthDate="19600102"), "correction"),
        (ct(), ct(AccessionNumber="A01"), "correction"),
        (ct(), ct(PixelData=ct().PixelData[:-2] + b"\1\1"), "conflict"),
        (ct(), ct(PixelData=ct().PixelData + b"\0" * 4), "conflict"),
        (_raw_name("홍길동".encode("euc_kr")), _raw_name("김철수".encode("euc_kr")), "correction"),
    ],
    ids=["a letter", "an accent", "an id", "a day", "a digit", "pixels", "four bytes", "names nobody can read"],
)
def test_finding_d4_a_difference_in_substance_is_none_in_form(
    room: Room, first: Dataset | bytes, second: Dataset | bytes, status: str
) -> None:
    """A letter, a digit, a pixel, an identifier's case: held or quarantined as before."""
    assert twice(room, first, second) == ["current", status]


@pytest.mark.parametrize(("last", "status"), [("x", "duplicate"), ("y", "correction")])
def test_finding_d4_a_long_text_beside_a_difference_in_form_is_compared_to_its_end(
    room: Room, last: str, status: str
) -> None:
    """Longer than what is kept of a header: an empty attribute more is form, another last letter is not."""
    first = _asked(RequestedProcedureComments="x" * 2000)
    second = _asked(RequestedProcedureComments="x" * 1999 + last, ScheduledProcedureStepID="")
    assert twice(room, *(ct(RequestAttributesSequence=[each]) for each in (first, second))) == ["current", status]


def test_finding_d4_another_slice_with_the_name_in_capitals_is_of_the_same_patient(room: Room) -> None:
    """Without a Patient ID the name decides: in capitals it is the same; another one is quarantined."""
    arrive(room.data_folder, ct(1, PatientID=""))
    room.index.run_once()
    arrive(room.data_folder, ct(2, PatientID="", PatientName="HONG^GILDONG"))
    arrive(room.data_folder, ct(3, PatientID="", PatientName="Kim^Gildong"))
    room.index.run_once()
    assert room.statuses() == ["current", "current", "conflict"]
