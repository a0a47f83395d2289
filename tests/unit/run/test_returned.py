"""DICOM objects of plugins: taken where they are of the study and patient that were given, and read."""

from __future__ import annotations

import struct
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from pydicom import Dataset, dcmread, dcmwrite
from pydicom.uid import DeflatedExplicitVRLittleEndian

from node.dicom import object_file
from node.dicom.confidentiality.key import Key
from node.run import answer
from node.run.answer import AnswerToCheck
from node.run.identifiers import Identifiers
from node.run.pseudonyms import Translation
from node.run.returned import reports as findings_of_reports
from node.run.returned import taking
from node.run.returned.given import GivenIdentity, as_given
from node.run.returned.taking import TakenObjects, TakingTask
from plugins import exchange, limits, manifest, vendor_scores
from plugins.allowed_parts import AllowedParts, GivenImage
from plugins.contract import Code, Finding, Result, ResultStatus, ReturnedObject
from plugins.exchange import InputFile, InputSeries, OutputReading, PluginReference, Request, RequestFacts
from plugins.manifest_table import ManifestTable
from plugins.untrusted import ExchangeError
from plugins.vendor_scores import VendorScore
from tests.support.results import foreign, reports
from tests.support.sites.job_site import MANIFEST

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")

CT = "1.2.840.10008.5.1.4.1.1.2"
IMAGES = tuple(f"{reports.STUDY_UID}.2.{number}" for number in (1, 2, 3))
FULL = GivenIdentity(
    frozenset({reports.STUDY_UID}),
    frozenset({"12345678"}),
    frozenset({"Hong^Gildong"}),
    issuers=frozenset({"HOSPITAL"}),
)
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
    findings, quality = changes.pop("findings", ()), changes.pop("quality", ())
    allowed = AllowedParts({uid: GivenImage("1.2", 1, reports.FRAME_OF_REFERENCE, 64, 64) for uid in IMAGES})
    task = TakingTask(source, target, given, frozenset(IMAGES), announced=True, marked=True, allowed=allowed)
    return taking.take(
        Result(status, "Made.", findings, objects=tuple(files), quality=quality), replace(task, **changes)
    )


def file_bytes(dataset: Dataset, folder: Path) -> bytes:
    return foreign.write(dataset, folder / "x" / "y.dcm").read_bytes()


def twice_in_an_item(folder: Path) -> bytes:
    """A reference that names one image to the readers that take the first, another one to those that take the last."""
    made = foreign.capture(2)
    made.ReferencedImageSequence = [foreign.reference(IMAGES[0], CT)]
    made.ReferencedImageSequence[0].add_new(0x00081160, "IS", "1 ")
    return file_bytes(made, folder).replace(b"\x08\x00\x60\x11IS", b"\x08\x00\x55\x11IS")


def with_element(folder: Path, tag: int, value: bytes, *, at_end: bool = False, **changes: Any) -> bytes:
    """A file with one more element (LO), before its patient module or behind its pixels."""
    whole = file_bytes(foreign.capture(2, **changes), folder)
    element = struct.pack("<HH2sH", tag >> 16, tag & 0xFFFF, b"LO", len(value)) + value
    place = len(whole) if at_end else whole.index(b"\x10\x00\x20\x00LO")
    return whole[:place] + element + whole[place:]


REFUSED: dict[str, tuple[Callable[[Path], Dataset | bytes], str]] = {
    "another study": (lambda _: foreign.capture(2, StudyInstanceUID="1.2.3"), "another study"),
    "no study": (lambda _: foreign.capture(2, StudyInstanceUID=""), "another study"),
    "another patient": (lambda _: foreign.capture(2, PatientID="87654321"), "another patient"),
    "another name without an ID": (
        lambda _: foreign.capture(2, PatientID="", PatientName="Kim^Cheolsu"),
        "another patient",
    ),
    "the same number at another hospital": (
        lambda _: foreign.capture(2, IssuerOfPatientID="CLINIC"),
        "its Patient ID is that of another issuer",
    ),
    "two Patient IDs": (
        lambda folder: with_element(folder, 0x00100020, b"87654321"),
        "it has the element (0010,0020) twice",
    ),
    "an element twice in an item": (
        twice_in_an_item,
        "it has the element (0008,1155) twice",
    ),
    "a Patient ID that begins like the true one": (
        lambda _: foreign.capture(2, PatientID="12345678".ljust(2000) + "\\87654321"),
        "its Patient ID is a sequence, or has more than 1024 bytes",
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


def test_a_bomb_costs_itself(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A deflated data set is in memory as a whole: one that is too large is left out, the rest of the set is not."""
    monkeypatch.setattr(object_file, "_MOST_INFLATED", 2**20)
    made = foreign.capture(2)
    made.add_new(0x00091001, "OB", b"\0" * 2**21)
    made.file_meta = dcmread(foreign.write(foreign.capture(2), tmp_path / "x")).file_meta
    made.file_meta.TransferSyntaxUID = DeflatedExplicitVRLittleEndian
    dcmwrite(tmp_path / "z", made, enforce_file_format=True)
    content = (tmp_path / "z").read_bytes()
    assert len(content) < 2**16
    taken = take(tmp_path, foreign.capture(1), content)
    assert taken.told == ("object 2 of the program: the deflated data set ends early, or is larger than 1 MiB",)


def test_what_lies_behind_the_pixels_does_not_leave(tmp_path: Path) -> None:
    """Another reader may find another patient there: marked it is left out, unmarked the object is."""
    content = with_element(tmp_path, 0x00100020, b"87654321", at_end=True)
    sound = foreign.capture(1)
    assert len(take(tmp_path, sound, content).objects) == 2
    (tmp_path / "b").mkdir()
    taken = take(tmp_path / "b", sound, content, marked=False)
    assert len(taken.objects) == 1
    assert taken.told == ("object 2 of the program: 16 bytes after its pixel data are not an element",)


def test_that_an_object_is_not_sent_is_said_before_what_the_program_says(tmp_path: Path) -> None:
    """A program with as many notes as a result may have must not crowd it out."""
    wrong = foreign.capture(2, PatientID="87654321")
    notes = tuple(f"Note {number}." for number in range(limits.NOTES))
    said = take(tmp_path, foreign.capture(1), wrong, quality=notes).result.quality
    assert said[0] == "Not sent: object 2 of the program: it belongs to another patient."
    assert len(said) == limits.NOTES


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


def test_reports_with_more_than_a_result_holds_lose_negatives_first_and_say_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is kept can be read again, the last group of all is the positive one, and the reader learns of the rest."""
    monkeypatch.setattr(findings_of_reports, "_BUDGETS", (3, 100, 100, 100, 100))
    groups = [foreign.group(foreign.ABSENT, 1.0, f"L{number}", IMAGES[0]) for number in range(5)]
    groups.append(foreign.group(foreign.PRESENT, 8.5, "LAST", IMAGES[0]))
    result = take(tmp_path, foreign.report(groups)).result
    assert [each.present for each in result.findings] == [True, False, False]
    assert result.status is ResultStatus.FINDINGS
    assert result.quality == ("Not in this report: 3 findings of the returned objects.",)


def test_what_names_the_patient_in_a_report_is_replaced(tmp_path: Path) -> None:
    """As in a text of the result itself: pages and notifications have the findings, wherever these come from."""
    group = foreign.group(foreign.PRESENT, 8.5, "12345678", IMAGES[0])
    said = foreign.content("TEXT", foreign.code("121106", "DCM", "Comment"), TextValue="Hong^Gildong, 12345678: large")
    group.ContentSequence.append(said)
    path = foreign.write(foreign.report([group]), tmp_path / "job" / "out" / "1.dcm")
    text = MANIFEST.format(name="x", identity="full", runtime='kind = "command"\ncommand = ["x"]')
    (tmp_path / "plugin.toml").write_text(text.replace('"segmentation"', '"dicom"'))
    files = tuple(InputFile(f"{uid}.dcm", uid) for uid in IMAGES)
    series = (InputSeries(f"{reports.STUDY_UID}.2", "CT", files),)
    request = Request("job", PluginReference("x", "1", "/x"), RequestFacts(reports.STUDY_UID), series)
    translation = Translation(identifiers=Identifiers(FULL.patient_names, FULL.patient_ids), given=FULL)
    order = AnswerToCheck(
        tmp_path / "job", request, request, translation, manifest.load(tmp_path), results=tmp_path / "results"
    )
    result = Result(ResultStatus.FINDINGS, "Made.", objects=(ReturnedObject(path),))
    checked = answer.checked(order, OutputReading(result, ()))
    (finding,) = exchange.read_result(tmp_path / "results" / "plugin.part", request).findings
    assert finding.comment.endswith(": large")
    assert not [each for each in ("Hong", "12345678") if each in f"{finding} {checked.found}"]
    assert "findings.comment" in checked.replaced


def test_each_budget_of_a_result_counts_for_its_own_findings_too(tmp_path: Path) -> None:
    """A result with as many characters of comments as it may have takes no more of them from a report."""
    own = tuple(Finding(SCORE.code, present=True, comment="x" * 1000) for _ in range(limits.COMMENTS // 1000))
    group = foreign.group(foreign.PRESENT, 8.5, "A", IMAGES[0])
    group.ContentSequence.append(foreign.content("TEXT", foreign.code("121106", "DCM", "Comment"), TextValue="more"))
    result = take(tmp_path, foreign.report([group]), findings=own).result
    assert sum(len(each.comment) for each in result.findings) == limits.COMMENTS
    assert result.quality == ("Not in this report: 1 findings of the returned objects.",)


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


@pytest.mark.parametrize(("text", "value"), [("0,875", 0.875), ("87,5", 87.5), ("1,234", None), ("Hong^Gildong", None)])
def test_a_score_is_never_guessed(tmp_path: Path, text: str, value: float | None) -> None:
    """A comma is a fraction where it cannot mean thousands; what is no number is not repeated: it may be a name."""
    said = foreign.presentation_state(1)
    said[0x00711021].VR = "LO"
    said[0x00711021].value = text
    wanted = replace(SCORE, unit="mm", meaning="Size")
    taken = take(tmp_path, said, scores=(wanted,))
    assert [each.score.value for each in taken.result.findings if each.score] == ([] if value is None else [value])
    assert bool(taken.told) is (value is None)
    assert not [each for each in taken.told if "Hong" in each]


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
