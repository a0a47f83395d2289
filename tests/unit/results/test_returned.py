"""DICOM that a plugin returned, as it is sent: marked as an AI result of this node, or as it came."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from pydicom import Dataset, dcmread

from node import ourselves
from node.config.encoding import EncodingProfile
from node.processes.pool import HEAVY
from node.reading.reader import read_sr
from node.results.encode import encode
from node.results.encoded import EncodedObject, EncodedSet
from node.results.encoder import Cost
from node.results.request import ReturnedTreatment
from node.results.returned.describing import objects_of
from plugins.contract import Code, Finding, Result, ResultStatus, ReturnedObject
from tests.support.results import foreign, reports

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")

CT = "1.2.840.10008.5.1.4.1.1.2"
IMAGE = f"{reports.STUDY_UID}.2.1"
AS_IT_CAME = ReturnedTreatment(mark=False)


def sent(
    folder: Path, *objects: Dataset, name: str = "out", source: Dataset | None = None, **changes: Any
) -> EncodedSet:
    """The set of a result that has these objects and no findings."""
    files = [foreign.write(each, folder / "kept" / f"{n}.dcm") for n, each in enumerate(objects)]
    paths = [reports.write(source, folder / "in.dcm")] if source else reports.write_series("ct", folder / "in")
    result = Result(ResultStatus.FINDINGS, "Made.", objects=tuple(map(ReturnedObject, files)))
    return encode(reports.request(paths, result, **changes), folder / name)


def returned(made: EncodedSet) -> list[EncodedObject]:
    return [each for each in made if each.kind == "dicom"]


def read(made: EncodedSet) -> list[Dataset]:
    return [dcmread(each.path) for each in returned(made)]


def test_a_marked_object_is_one_of_this_node(tmp_path: Path) -> None:
    """New UIDs, patient and study of the images, the marking, the equipment of algorithm and node; the maker stays."""
    given = foreign.capture(1, PatientName="HONG GIL", PatientBirthDate="", OtherPatientIDs="X", AccessionNumber="")
    before = Dataset()
    before.Manufacturer = "Scanner Maker"
    given.ContributingEquipmentSequence = [before]
    made = sent(tmp_path, given)
    (one,), (row,) = read(made), returned(made)
    assert one.SOPInstanceUID == one.file_meta.MediaStorageSOPInstanceUID == row.sop_instance_uid
    assert one.SeriesInstanceUID == row.series_instance_uid
    assert given.SOPInstanceUID != one.SOPInstanceUID
    assert given.SeriesInstanceUID != one.SeriesInstanceUID
    assert (one.PatientName, one.PatientBirthDate, one.AccessionNumber) == ("Hong^Gildong", "19600229", "A0001")
    assert (one.IssuerOfPatientID, one.StudyDescription, "OtherPatientIDs" in one) == ("HOSPITAL", "CT chest", False)
    assert one.RequestAttributesSequence[0].RequestedProcedureID == "RP1"
    assert one.SeriesDescription == "AI-INV lung_density - ACME lung"
    assert one.SeriesNumber > 9000
    assert (one.Manufacturer, one.ManufacturerModelName) == (foreign.MAKER, "Lung")
    first, algorithm, node = one.ContributingEquipmentSequence
    assert first.Manufacturer == "Scanner Maker"
    assert algorithm.ManufacturerModelName == "lung_density"
    assert (node.Manufacturer, node.PurposeOfReferenceCodeSequence[0].CodeValue) == (
        ourselves.MANUFACTURER,
        ourselves.PROCESSING_EQUIPMENT,
    )
    assert one.PixelData == given.PixelData


def test_encoding_again_gives_the_same_bytes_and_another_job_other_uids(tmp_path: Path) -> None:
    """UIDs derive from the job and the object's own, never from the attempt or the clock."""
    objects = [foreign.capture(1), foreign.presentation_state(2)]
    first, again = sent(tmp_path, *objects), sent(tmp_path, *objects, name="again")
    assert [each.path.read_bytes() for each in first] == [each.path.read_bytes() for each in again]
    other = sent(tmp_path, *objects, name="other", job_id="job-2")
    uids = [{each.sop_instance_uid for each in made} for made in (first, other)]
    assert uids[0].isdisjoint(uids[1])


def test_references_within_the_set_follow_and_those_to_images_stay(tmp_path: Path) -> None:
    """At every depth; an object that has an image's own UID is no reason to lead references to the image away."""
    state, copy = foreign.presentation_state(2), foreign.capture(1, SOPInstanceUID=IMAGE)
    holder = Dataset()
    holder.SeriesInstanceUID = foreign.capture(1).SeriesInstanceUID
    holder.ReferencedImageSequence = [foreign.reference(IMAGE, CT), foreign.reference("1.2.276.0.99.3", CT)]
    state.ReferencedSeriesSequence = [holder]
    made = sent(tmp_path, copy, state, foreign.capture(3))
    image, referring, third = read(made)
    assert image.SOPInstanceUID != IMAGE
    series = referring.ReferencedSeriesSequence[0]
    assert [each.ReferencedSOPInstanceUID for each in series.ReferencedImageSequence] == [IMAGE, third.SOPInstanceUID]
    assert series.SeriesInstanceUID == third.SeriesInstanceUID


def test_an_object_that_is_not_marked_is_sent_byte_for_byte(tmp_path: Path) -> None:
    """Whatever is odd about it; its rows have its own UIDs."""
    given = foreign.presentation_state(1, PatientName="HONG GIL")
    made = sent(tmp_path, given, returned=AS_IT_CAME)
    (row,) = returned(made)
    assert row.path.read_bytes() == (tmp_path / "kept" / "0.dcm").read_bytes()
    assert (row.sop_instance_uid, row.series_instance_uid) == (given.SOPInstanceUID, given.SeriesInstanceUID)


def test_whose_it_is_comes_from_the_images_where_the_plugin_did_not_know(tmp_path: Path) -> None:
    """Not marked, but made under pseudonyms: patient and study are written, all else is as it came."""
    given = foreign.capture(1, PatientName="", PatientID="A1B2", SeriesDescription="Their words")
    (one,) = read(sent(tmp_path, given, returned=ReturnedTreatment(mark=False, hidden=True)))
    assert (one.PatientName, one.PatientID, one.SeriesDescription) == ("Hong^Gildong", "12345678", "Their words")
    assert one.SOPInstanceUID == given.SOPInstanceUID
    assert "ContributingEquipmentSequence" not in one


@pytest.mark.parametrize("character_set", [None, "ISO_IR 100", "ISO 2022 IR 149"])
def test_names_are_written_in_a_set_that_holds_them(tmp_path: Path, character_set: str | None) -> None:
    """The images' Korean name in an object that has another set, or none: its own texts stay readable."""
    source = reports.ct(1)
    source.SpecificCharacterSet = "ISO_IR 192"
    source.PatientName = "Hong^Gildong=洪^吉洞=홍^길동"
    given = foreign.presentation_state(1)
    own = "소견"
    if character_set == "ISO_IR 100":
        own = "Läsion"
    if character_set:
        given.SpecificCharacterSet = character_set
        given.ContentLabel = "A"
        given.ContentDescription = own
    (one,) = read(sent(tmp_path, given, source=source))
    assert str(one.PatientName) == "Hong^Gildong=洪^吉洞=홍^길동"
    if character_set:
        assert one.ContentDescription == own
    else:
        text = one.GraphicAnnotationSequence[0].TextObjectSequence[0]
        assert text[0x00700006].value == foreign.KOREAN


def test_a_report_that_was_signed_is_not_verified_any_more(tmp_path: Path) -> None:
    """Nobody in this hospital has verified it."""
    given = foreign.report([foreign.group(foreign.PRESENT, 3.0, "A", IMAGE)])
    (one,) = read(sent(tmp_path, given))
    assert (one.VerificationFlag, one.PreliminaryFlag) == ("UNVERIFIED", "PRELIMINARY")
    assert "VerifyingObserverSequence" not in one
    assert read_sr(one).findings[0].present is True
    assert one.ReferencedRequestSequence[0].RequestedProcedureID == "RP1"


def said(made: EncodedSet) -> list[str]:
    report = next(each for each in made if each.kind == "sr")
    return [text for name, text in read_sr(report.path).notes if name == "Object that the program made itself"]


def test_the_report_says_what_came_and_from_whom(tmp_path: Path) -> None:
    """Alike ones once; the evidence of the report lists them all."""
    made = sent(tmp_path, foreign.capture(1), foreign.capture(2), foreign.pdf(3))
    assert [line for line in said(made) if not line.startswith("In parts")] == [
        "Also sent, as the program made it: 2 x Secondary Capture Image, ACME Imaging Lung 2.1",
        "Also sent, as the program made it: Encapsulated PDF, ACME Imaging Lung 2.1",
    ]
    report = dcmread(next(each for each in made if each.kind == "sr").path)
    listed = {
        item.ReferencedSOPInstanceUID
        for study in report.CurrentRequestedProcedureEvidenceSequence
        for series in study.ReferencedSeriesSequence
        for item in series.ReferencedSOPSequence
    }
    assert {each.sop_instance_uid for each in returned(made)} <= listed
    assert {each.kind for each in made} == {"sr", "sc", "dicom"}


def test_what_breaks_the_standard_is_sent_and_said(tmp_path: Path) -> None:
    """The gate's judgement of others' objects is advice."""
    odd = foreign.capture(1)
    del odd.ConversionType
    made = sent(tmp_path, odd)
    assert len(returned(made)) == 1
    assert any("ConversionType" in text for text in made.advice)
    assert [line for line in said(made) if line.startswith("In parts not as the DICOM Standard asks: Secondary")]


def test_a_destination_that_leaves_them_out_hears_of_them(tmp_path: Path) -> None:
    """`kinds` without dicom: nothing of the plugin's is sent there, and its report says so."""
    profile = EncodingProfile(kinds=frozenset({"sr", "sc"}))
    made = sent(tmp_path, foreign.pdf(1), profile=profile)
    assert returned(made) == []
    assert said(made) == ["Not sent here, though the program made it: Encapsulated PDF, ACME Imaging Lung 2.1"]


def test_a_profile_that_says_nothing_of_them_has_the_digest_of_earlier_releases() -> None:
    """UIDs of results without such objects stay; one that leaves them out is another profile, and comes back whole."""
    whole, fewer = EncodingProfile(), EncodingProfile(kinds=frozenset({"sr", "sc", "seg", "pm", "ko"}))
    assert '"dicom"' not in whole.to_json()
    assert whole.digest() != fewer.digest()
    assert [EncodingProfile.from_json(each.to_json()) for each in (whole, fewer)] == [whole, fewer]


def test_an_object_that_cannot_be_written_costs_itself(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The other one, report and pages go; the report says that one is missing."""
    from node.results.returned import marking

    whole = marking.marked

    def fails_for_the_first(elements: Any, one: Any, *rest: Any, **more: Any) -> Any:
        if one.number == 1:
            raise ValueError("no")
        return whole(elements, one, *rest, **more)

    monkeypatch.setattr(marking, "marked", fails_for_the_first)
    made = sent(tmp_path, foreign.capture(1), foreign.capture(2))
    assert [(each.kind, each.number) for each in made.missing] == [("dicom", 1)]
    assert len(returned(made)) == 1
    report = read_sr(next(each for each in made if each.kind == "sr").path)
    assert "One or more of the DICOM objects that the program returned could not be sent." in {
        text for _, text in report.notes
    }


def test_a_thousand_objects_are_not_in_memory_together(tmp_path: Path) -> None:
    """What is known of each until it is written are copies of some texts, however much it holds."""
    large = foreign.capture(1)
    large.ReferencedImageSequence = [foreign.reference(f"1.2.3.{number}", CT) for number in range(100)]
    large.SeriesDescription = "x" * 5000
    path = foreign.write(large, tmp_path / "1.dcm")
    for one in objects_of([ReturnedObject(path)] * 3):
        values = [raw.value for raw in one.head.values()]
        assert all(isinstance(each, memoryview) and isinstance(each.obj, bytes) for each in values)
        assert sum(map(len, values)) < 2000
        assert len(one.read().contents.elements[0x00081140].value) == 100


def test_returned_objects_count_in_what_encoding_may_cost(tmp_path: Path) -> None:
    """Many of them, or large ones, are not held to the deadline of a report."""
    objects = tmp_path / "out" / "dicom"
    objects.mkdir(parents=True)
    before = Cost.of(tmp_path, 3)
    for number in range(100):
        with (objects / f"{number}.dcm").open("wb") as file:
            file.truncate(2**24)
    after = Cost.of(tmp_path, 3)
    assert after.memory == before.memory, "they are mapped, and read one after the other"
    assert after.deadline > before.deadline + 1000
    assert after.seconds > HEAVY, "what is small is encoded beside them"


def test_findings_and_objects_go_together(tmp_path: Path) -> None:
    """A result with findings of its own and an object has both in one report."""
    file = ReturnedObject(foreign.write(foreign.capture(1), tmp_path / "kept" / "1.dcm"))
    thing = Finding(Code("36118008", "SCT", "Pneumothorax"), present=False)
    result = Result(ResultStatus.NO_FINDINGS, "Nothing.", (thing,), objects=(file,))
    made = encode(reports.request(reports.write_series("ct", tmp_path / "in"), result), tmp_path / "out")
    report = read_sr(next(each for each in made if each.kind == "sr").path)
    assert report.findings[0].present is False
    assert replace(made[0], changes=()).kind == "dicom"
