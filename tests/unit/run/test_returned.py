"""DICOM objects of plugins: taken where they are of the study and patient that were given, and read."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from pydicom import Dataset, dcmread

from node.dicom.confidentiality.key import Key
from node.run.returned import taking
from node.run.returned.given import GivenIdentity, as_given
from node.run.returned.taking import TakenObjects, TakingTask
from plugins import vendor_scores
from plugins.allowed_parts import AllowedParts, GivenImage
from plugins.contract import Code, Finding, Result, ResultStatus, ReturnedObject
from plugins.manifest_table import ManifestTable
from plugins.untrusted import ExchangeError
from plugins.vendor_scores import VendorScore
from tests.support.results import foreign, reports

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")

CT = "1.2.840.10008.5.1.4.1.1.2"
IMAGES = tuple(f"{reports.STUDY_UID}.2.{number}" for number in (1, 2, 3))
FULL = GivenIdentity(frozenset({reports.STUDY_UID}), frozenset({"12345678"}), frozenset({"Hong^Gildong"}))
KEY = Key.of(b"secret", "12345678", "HOSPITAL")
HEADER = {
    "StudyDate": ["DA", ["20240102"]],
    "AcquisitionDateTime": ["DT", ["20240102101500.5"]],
    "StudyInstanceUID": ["UI", [reports.STUDY_UID]],
    "SOPInstanceUID": ["UI", [IMAGES[0]]],
    "SourceImageSequence": ["SQ", [{"ReferencedSOPInstanceUID": ["UI", ["1.2.3.4.5"]]}]],
}
HIDDEN = as_given(reports.STUDY_UID, ["12345678"], ["Hong^Gildong"], [HEADER], KEY)
SCORE = VendorScore(Code("ABN", "99ACME", "Abnormality"), "Abnormality score", "%", "PR", 0x0071, 0x21, "ACME SCORES")


def take(folder: Path, *objects: Dataset | bytes, given: GivenIdentity = FULL, **changes: Any) -> TakenObjects:
    """What is taken of a result that holds these objects and nothing else."""
    source, target = folder / "out", folder / "kept"
    source.mkdir()
    target.mkdir()
    files = []
    for number, each in enumerate(objects):
        path = source / f"{number}.dcm"
        if isinstance(each, bytes):
            path.write_bytes(each)
        else:
            foreign.write(each, path)
        files.append(ReturnedObject(path))
    status = changes.pop("status", ResultStatus.FINDINGS)
    findings = changes.pop("findings", ())
    allowed = AllowedParts({uid: GivenImage("1.2", 1, reports.FRAME_OF_REFERENCE, 64, 64) for uid in IMAGES})
    task = TakingTask(source, target, given, frozenset(IMAGES), announced=True, marked=True, allowed=allowed)
    return taking.take(Result(status, "Made.", findings, objects=tuple(files)), replace(task, **changes))


def file_bytes(dataset: Dataset, folder: Path) -> bytes:
    return foreign.write(dataset, folder / "x" / "y.dcm").read_bytes()


REFUSED: dict[str, tuple[Callable[[Path], Dataset | bytes], str]] = {
    "another study": (lambda _: foreign.capture(2, StudyInstanceUID="1.2.3"), "another study"),
    "no study": (lambda _: foreign.capture(2, StudyInstanceUID=""), "another study"),
    "another patient": (lambda _: foreign.capture(2, PatientID="87654321"), "another patient"),
    "another name without an ID": (
        lambda _: foreign.capture(2, PatientID="", PatientName="Kim^Cheolsu"),
        "another patient",
    ),
    "no file of DICOM": (lambda _: b"GIF89a" * 50, "is not a DICOM file"),
    "empty": (lambda _: b"", "is empty"),
    "cut off": (lambda folder: file_bytes(foreign.capture(2), folder)[:-10], "is not a whole DICOM object"),
    "a class that is not stored": (
        lambda _: foreign.capture(2, SOPClassUID="1.2.840.10008.1.3.10"),
        "is not one that is stored",
    ),
    "no SOP Instance UID": (lambda _: foreign.capture(2, SOPInstanceUID=""), "SOP Instance UID is missing"),
    "a path for a UID": (lambda _: foreign.capture(2, SOPInstanceUID="../../x"), "SOP Instance UID is missing or is"),
    "the UID of another one": (lambda _: foreign.pdf(1), "another one has the same SOP Instance UID"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_not_certainly_of_this_study_is_left_out_and_said(tmp_path: Path, name: str) -> None:
    """The sound object beside it is taken; the reader learns that something is not sent, and why."""
    make, why = REFUSED[name]
    taken = take(tmp_path, foreign.capture(1), make(tmp_path))
    assert [each.sop_instance_uid for each in taken.objects] == ["1.2.276.0.99.1"]
    assert len(taken.result.objects) == len(list((tmp_path / "kept" / "dicom").iterdir())) == 1
    (said,) = taken.result.quality
    assert said.startswith("Not sent: object 2 of the program: ")
    assert why in said
    assert any(why in each for each in taken.told)


ACCEPTED: dict[str, dict[str, Any]] = {
    "no ID": {"PatientID": ""},
    "no ID and part of the name": {"PatientID": "", "PatientName": "HONG"},
    "neither ID nor name": {"PatientID": "", "PatientName": ""},
    "another form of the name": {"PatientName": "Hong Gil-Dong"},
    "a private SOP class": {"SOPClassUID": "1.3.12.2.1107.5.9.1"},
    "a SOP class newer than the dictionary": {"SOPClassUID": "1.2.840.10008.5.1.4.1.1.66.7"},
}


@pytest.mark.parametrize("name", ACCEPTED)
def test_what_says_less_is_taken(tmp_path: Path, name: str) -> None:
    """The study counts; patient attributes are checks of what they say."""
    assert len(take(tmp_path, foreign.capture(1, **ACCEPTED[name])).objects) == 1


def test_nothing_is_left_of_a_result_whose_objects_are_all_of_others(tmp_path: Path) -> None:
    """It would say nothing: the result is refused as a whole."""
    with pytest.raises(ExchangeError, match=r"none can be sent: .*another patient"):
        take(tmp_path, foreign.capture(1, PatientID="87654321"))


def test_that_nothing_came_is_said(tmp_path: Path) -> None:
    """A plugin that announces DICOM and returns none: the reader need not wait for it."""
    thing = (Finding(SCORE.code, present=True),)
    assert take(tmp_path, findings=thing).result.quality == ("The program returned no DICOM object.",)
    (tmp_path / "b").mkdir()
    assert take(tmp_path / "b", findings=thing, announced=False).result.quality == ()


def test_an_image_that_comes_back_changed_keeps_its_uid_only_under_a_new_one(tmp_path: Path) -> None:
    """Unmarked it would be sent over the image itself."""
    image = foreign.capture(1, SOPInstanceUID=IMAGES[0])
    assert take(tmp_path, image).objects[0].of_image
    (tmp_path / "b").mkdir()
    with pytest.raises(ExchangeError, match="the SOP Instance UID of an image that the program was given"):
        take(tmp_path / "b", image, marked=False)


def test_references_to_what_was_not_given_are_said(tmp_path: Path) -> None:
    """At any depth; references to images that were given and within the set are none of them."""
    first, second = foreign.presentation_state(1), foreign.presentation_state(2)
    holder = Dataset()
    known = [foreign.reference(uid, CT) for uid in (*IMAGES, "1.2.276.0.99.2")]
    holder.ReferencedImageSequence = [*known, foreign.reference("1.9.9", CT)]
    first.ReferencedSeriesSequence = [holder]
    taken = take(tmp_path, first, second)
    assert taken.told == ("object 1 of the program refers to 1 instances that it was not given",)


def test_bytes_stay_where_nothing_was_hidden(tmp_path: Path) -> None:
    """An object of a plugin that knew the patient is kept byte for byte, whatever its elements hold."""
    odd = foreign.presentation_state(1)
    odd.add_new(0x00091001, "UN", b"\x00\xff" * 7)
    taken = take(tmp_path, odd)
    assert taken.result.objects[0].file.read_bytes() == (tmp_path / "out" / "0.dcm").read_bytes()


@pytest.mark.parametrize("implicit", [False, True])
def test_what_was_hidden_is_mapped_back_at_every_depth(tmp_path: Path, implicit: bool) -> None:
    """UIDs, days and the Patient ID; what the program made itself stays, and so do its pixels."""
    made = foreign.capture(1, StudyInstanceUID=KEY.uid(reports.STUDY_UID), PatientID=KEY.patient, PatientName="")
    sent = {uid: KEY.uid(uid) for uid in (*IMAGES, "1.2.3.4.5")}
    made.StudyDate = next(day for day, true in HIDDEN.way_back.dates.items() if true == "20240102")
    made.AcquisitionDateTime = f"{made.StudyDate}101500.5"
    inner, outer = Dataset(), Dataset()
    inner.ReferencedSOPInstanceUID, inner.PatientID = sent["1.2.3.4.5"], KEY.patient
    outer.PurposeOfReferenceCodeSequence = [inner]
    outer.ReferencedSOPInstanceUID = sent[IMAGES[0]]
    outer.TextValue = f"of {sent[IMAGES[0]]}, patient {KEY.patient}"
    made.SourceImageSequence = [outer]
    made.add_new(0x00710010, "LO", "ACME SCORES")
    made.add_new(0x00711022, "UN", sent[IMAGES[0]].encode())
    pixels = sent[IMAGES[0]].encode()[:16]
    made.PixelData = pixels
    source = tmp_path / "given"
    content = foreign.write(made, source / "1.dcm", implicit=implicit).read_bytes()
    taken = take(tmp_path, content, given=HIDDEN)
    kept = dcmread(taken.result.objects[0].file)
    assert (kept.StudyInstanceUID, kept.PatientID, kept.StudyDate) == (reports.STUDY_UID, "12345678", "20240102")
    assert kept.AcquisitionDateTime == "20240102101500.5"
    item = kept.SourceImageSequence[0]
    assert item.ReferencedSOPInstanceUID == IMAGES[0]
    assert item.TextValue == f"of {IMAGES[0]}, patient 12345678"
    assert item.PurposeOfReferenceCodeSequence[0].ReferencedSOPInstanceUID == "1.2.3.4.5"
    assert item.PurposeOfReferenceCodeSequence[0].PatientID == "12345678"
    assert bytes(kept[0x00711022].value).rstrip(b" ") == IMAGES[0].encode()
    assert (kept.InstanceCreationDate, kept.SOPInstanceUID) == ("20240102", "1.2.276.0.99.1")
    assert kept.PixelData == pixels
    assert kept.file_meta.TransferSyntaxUID == ("1.2.840.10008.1.2" if implicit else "1.2.840.10008.1.2.1")
    assert KEY.patient.encode() not in taken.result.objects[0].file.read_bytes()


def test_findings_of_a_report_are_findings_of_the_result(tmp_path: Path) -> None:
    """Present, absent and neither: what says nothing is not a negative. The numbers and the place come along."""
    groups = [
        foreign.group(foreign.PRESENT, 8.5, "A", IMAGES[0]),
        foreign.group(foreign.ABSENT, 0.0, "A", IMAGES[1]),
        foreign.group(None, 4.0, "B", IMAGES[2]),
    ]
    result = take(tmp_path, foreign.report(groups)).result
    assert [each.present for each in result.findings] == [True, False, None]
    first, second, third = result.findings
    assert (first.code, first.measurements[0].value, first.measurements[0].unit.code) == (reports.NODULE, 8.5, "mm")
    assert first.regions[0].points.tolist() == [[5.5, 6.5]]
    assert first.regions[0].image is not None
    assert first.regions[0].image.sop_instance_uid == IMAGES[0]
    assert second.regions == ()
    assert [first.tracking_id, third.tracking_id] == [None, "B"]  # one name for two lesions tells nothing apart
    assert result.status is ResultStatus.FINDINGS


@pytest.mark.parametrize(
    ("answers", "status"),
    [
        ([foreign.ABSENT, foreign.ABSENT], ResultStatus.NO_FINDINGS),
        ([foreign.ABSENT, None], ResultStatus.FINDINGS),
        ([foreign.ABSENT, foreign.PRESENT], ResultStatus.FINDINGS),
    ],
)
def test_the_status_follows_from_what_reports_say(tmp_path: Path, answers: Any, status: ResultStatus) -> None:
    """Only where all that was looked for is said to be absent is it a negative."""
    groups = [foreign.group(each, 1.0, f"L{n}", IMAGES[0]) for n, each in enumerate(answers)]
    assert take(tmp_path, foreign.report(groups)).result.status is status


def test_what_a_report_cannot_say_here_costs_that_part_only(tmp_path: Path) -> None:
    """A unit that is none, an image that was not given, a meaning without letters of ASCII: the finding stays."""
    odd = foreign.group(foreign.PRESENT, 8.5, "A" * 200, "1.9.9.9", unit="millimetres")
    finding_code = odd.ContentSequence[1].ConceptCodeSequence[0]
    finding_code.CodeMeaning = "폐 결절 " * 20
    report = foreign.report([odd], SpecificCharacterSet="ISO_IR 192")
    (finding,) = take(tmp_path, report).result.findings
    assert (finding.code.value, finding.present, finding.measurements, finding.regions) == ("427359005", True, (), ())


def test_a_report_of_another_template_is_said_not_to_be_understood(tmp_path: Path) -> None:
    """Its content is not silently nothing."""
    report = foreign.report([])
    report.ConceptNameCodeSequence = [foreign.code("111036", "DCM", "Mammography CAD Report")]
    del report.ContentTemplateSequence, report.ContentSequence
    report.ContentSequence = [foreign.content("TEXT", foreign.code("121106", "DCM", "Comment"), TextValue="x")]
    taken = take(tmp_path, report)
    assert taken.result.findings == ()
    assert "is not a measurement report (TID 1500)" in taken.told[0]


TEXT = VendorScore(SCORE.code, "Abnormality score", "%", pattern="점수: ([0-9.]+)")
SCORES = {
    "a private attribute": (SCORE, None),
    "Korean text without a character set": (TEXT, None),
    "present from 15 on": (replace(SCORE, present_from=15.0), True),
    "below what is present": (replace(SCORE, present_from=90.0), None),
    "below what is absent": (replace(TEXT, present_from=99.0, absent_below=90.0), False),
}


@pytest.mark.parametrize("implicit", [False, True])
@pytest.mark.parametrize("name", SCORES)
def test_scores_of_vendors_are_findings(tmp_path: Path, name: str, implicit: bool) -> None:
    """By the map of the manifest; without a bound that it states a score says neither present nor absent."""
    wanted, present = SCORES[name]
    content = foreign.write(foreign.presentation_state(1), tmp_path / "x" / "1.dcm", implicit=implicit).read_bytes()
    (finding,) = take(tmp_path, content, scores=(wanted,)).result.findings
    assert finding.score is not None
    assert (finding.code, finding.score.value, finding.score.unit.code) == (SCORE.code, 87.5, "%")
    assert finding.present is present


def test_scores_are_looked_for_where_the_manifest_says(tmp_path: Path) -> None:
    """Another creator, another modality: nothing; a number that cannot be a score is said."""
    others = (
        replace(SCORE, creator="OTHER"),
        replace(SCORE, modality="SR"),
        replace(SCORE, unit="1", meaning="Likelihood of finding"),
    )
    taken = take(tmp_path, foreign.presentation_state(1), scores=others)
    assert taken.result.findings == ()
    assert len(taken.told) == 1
    assert "not understood: Abnormality" in taken.told[0]


MISTAKES: dict[str, tuple[dict[str, Any], str]] = {
    "neither": ({}, "pattern: is missing"),
    "no group": ({"pattern": "score"}, "pattern: has no group"),
    "no expression": ({"pattern": "("}, "pattern: is not a regular expression"),
    "no unit": ({"pattern": "(x)", "unit": "percent"}, "unit: 'percent' is not a UCUM unit"),
    "private without creator": ({"attribute": "0071,xx21"}, "attribute: '0071,xx21' is not"),
    "creator of the Standard": ({"attribute": "0070,0006", "creator": "A"}, "attribute: '0070,0006' is not"),
    "even private group": ({"attribute": "0070,xx06", "creator": "A"}, "a private attribute has an odd group"),
    "creator alone": ({"pattern": "(x)", "creator": "A"}, "creator: is that of an attribute"),
    "bounds": ({"pattern": "(x)", "present_from": 1.0, "absent_below": 2.0}, "absent_below: 2 is above present_from"),
    "key": ({"pattern": "(x)", "treshold": 1.0}, "treshold: unknown key"),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_mistakes_in_the_map_are_found_when_it_is_read(name: str) -> None:
    """With the key that is wrong."""
    values, expected = MISTAKES[name]
    whole = {"value": "ABN", "scheme": "99ACME", "meaning": "Abnormality", **values}
    with pytest.raises(ValueError, match=expected):
        vendor_scores.read(ManifestTable(whole, "returned.scores[0]", Path("plugin.toml"), ""))
