"""What a plugin said is what the SR says: written, read back, compared."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import highdicom
import numpy as np
import pytest
from pydicom import Dataset, dcmread

from node import envelope
from node.config.encoding import EncodingProfile
from node.config.envelope import EnvelopeUse
from node.dicom.report_classes import SRClass
from node.reading.reader import NotAReportError, ReadReport, read_sr  # type: ignore[attr-defined]
from node.results.encode import encode
from node.results.encoded import EncodedObject
from node.results.request import SourceReference
from plugins.contract import Code, Finding, ImageReference, Point, Result, ResultStatus
from plugins.envelope import EnvelopeLimit
from tests.support.results import reports


def _set(tmp_path: Path, result: Result, kind: str = "ct", **changes: object) -> tuple[EncodedObject, ...]:
    return encode(reports.request(reports.write_series(kind, tmp_path / "in"), result, **changes), tmp_path / "out")


def _sr(tmp_path: Path, result: Result, kind: str = "ct", **changes: object) -> Dataset:
    objects = _set(tmp_path, result, kind, **changes)
    return dcmread(next(made.path for made in objects if made.kind == "sr"))


def _read(tmp_path: Path, result: Result, kind: str = "ct", **changes: object) -> ReadReport:
    return read_sr(_sr(tmp_path, result, kind, **changes))


def _all_items(dataset: Dataset) -> list[Dataset]:
    items = list(dataset.get("ContentSequence", ()))
    return items + [deeper for item in items for deeper in _all_items(item)]


def test_numbers_read_back_equal_those_put_in(tmp_path: Path) -> None:
    """Every value, unit and side of the result stands in the SR, to the last bit."""
    result = reports.measured()
    report = _read(tmp_path, result)
    put_in = [
        (m.concept.meaning, m.value, m.unit.code, m.site.laterality.meaning)
        for finding in result.findings
        for m in finding.measurements
        if m.site and m.site.laterality
    ]
    read_back = [
        (m.concept.meaning, m.value, m.unit.value, m.site.side if m.site else "")
        for finding in report.findings
        for m in finding.measurements
        if m.unit
    ]
    assert read_back == put_in
    assert report.findings[0].measurements[1].reference == "<= 6.8 %, Author et al., Journal 2010;1:1"


def test_finding_v7_a_number_that_could_not_be_computed_says_why(tmp_path: Path) -> None:
    """No value is an empty Measured Value Sequence with its qualifier (114006), never a zero."""
    finding = reports.Finding(
        reports.DENSITY,
        site=reports.Site(reports.LUNG, reports.RIGHT),
        measurements=reports.density(reports.RIGHT, 10.0, 1.0, None),
    )
    document = _sr(tmp_path, Result(ResultStatus.FINDINGS, "Partly measured.", (finding,)))
    items = [i for i in _all_items(document) if i.ValueType == "NUM" and not i.MeasuredValueSequence]
    assert [i.NumericValueQualifierCodeSequence[0].CodeValue for i in items] == ["114006"]
    last = read_sr(document).findings[0].measurements[2]
    assert last.value is None
    assert last.qualifier is not None
    assert last.qualifier.meaning == "Measurement failure"


def test_present_absent_score_and_region(tmp_path: Path) -> None:
    """A detector's result: what is there with its box and score, and what was looked for and is not."""
    report = _read(tmp_path, reports.nodule(reports.reference("ct")))
    nodule, pneumothorax = report.findings
    assert (nodule.present, pneumothorax.present) == (True, False)
    assert nodule.tracking_identifier == "Nodule A"
    assert [(m.concept.scheme, m.value) for m in nodule.measurements] == [("99PACSNODE", 0.875), ("SCT", 12.4)]
    assert nodule.comments == ("URGENT", "Spiculated margin.")
    assert nodule.regions[0].points == ((12.0, 14.0), (30.5, 14.0), (30.5, 40.25), (12.0, 40.25), (12.0, 14.0))
    assert nodule.regions[0].sop_instance_uid == reports.reference("ct").sop_instance_uid
    assert report.status is not None
    assert report.status.value == "111242"
    assert "Motion artefact in the lower lobes." in [text for _, text in report.notes]


@pytest.mark.parametrize(
    ("name", "code"), [("failed", "111224"), ("not-applicable", "111225"), ("no-findings", "111241")]
)
def test_an_end_without_findings(tmp_path: Path, name: str, code: str) -> None:
    """Failed and not applicable never hold an Absent finding, and say in words that they are no negative."""
    result = reports.RESULTS[name](reports.reference("ct"))
    report = _read(tmp_path, result)
    assert report.status is not None
    assert report.status.value == code
    if name == "no-findings":
        assert [finding.present for finding in report.findings] == [False]
    else:
        assert report.findings == ()
        assert "This is not a negative result." in report.summary
        assert ("Reason for not analysed", result.summary) in report.notes


@pytest.mark.parametrize("sr_class", ["comprehensive", "comprehensive-3d", "enhanced"])
def test_the_sop_class_is_the_one_the_destination_states(tmp_path: Path, sr_class: SRClass) -> None:
    """Each class writes the same findings."""
    report = _read(tmp_path, reports.regions(reports.reference("ct")), profile=EncodingProfile(sr_class=sr_class))
    assert [finding.regions[0].graphic_type for finding in report.findings] == [
        "POINT",
        "POLYLINE",
        "POLYLINE",
        "POLYLINE",
        "ELLIPSE",
    ]


def test_regions_on_a_frame_name_the_frame(tmp_path: Path) -> None:
    """On a multi-frame image every reference says which frame; on a single-frame one none does."""
    image = reports.reference("enhanced-ct")
    assert {
        f.regions[0].frame_number for f in _read(tmp_path / "a", reports.regions(image), "enhanced-ct").findings
    } == {2}
    single = _read(tmp_path / "b", reports.regions(reports.reference("ct")))
    assert {f.regions[0].frame_number for f in single.findings} == {None}


def test_a_region_in_the_patient_lies_on_its_slice(tmp_path: Path) -> None:
    """Millimetres become the slice and the pixels they mean where the SR class has no 3D coordinates."""
    # Slice 2 lies at z = 10; its first pixel's centre at (-100, -100), 2 mm pixels.
    point = reports.Point(np.array([-60.0, -80.0, 10.2]), frame_of_reference_uid=reports.FRAME_OF_REFERENCE)
    result = Result(
        ResultStatus.FINDINGS, "A point.", (reports.Finding(reports.NODULE, present=True, regions=(point,)),)
    )
    region = _read(tmp_path / "2d", result).findings[0].regions[0]
    assert (region.graphic_type, region.points) == ("POINT", ((20.5, 10.5),))
    assert region.sop_instance_uid == f"{reports.STUDY_UID}.2.2"
    profile = EncodingProfile(sr_class="comprehensive-3d")
    region = _read(tmp_path / "3d", result, profile=profile).findings[0].regions[0]
    assert region.points == pytest.approx(np.array([[-60.0, -80.0, 10.2]]), abs=1e-4)


def test_a_region_that_no_slice_holds_is_told_in_words(tmp_path: Path) -> None:
    """Nothing that the plugin said is dropped because an SR class cannot draw it."""
    point = reports.Point(np.array([-60.0, -80.0, 200.0]), frame_of_reference_uid=reports.FRAME_OF_REFERENCE)
    result = Result(
        ResultStatus.FINDINGS, "A point.", (reports.Finding(reports.NODULE, present=True, regions=(point,)),)
    )
    finding = _read(tmp_path, result).findings[0]
    assert finding.regions == ()
    assert finding.comments == ("Point, mm in the patient (L, P, H): -60.0 -80.0 200.0",)


def test_the_tree_is_what_viewers_read(tmp_path: Path) -> None:
    """Root code and template, SEPARATE containers, Image Library, tracking UIDs once, no NUM without children."""
    document = _sr(tmp_path, reports.nodule(reports.reference("ct")))
    assert document.ConceptNameCodeSequence[0].CodeValue == "126000"
    assert document.ContentTemplateSequence[0].TemplateIdentifier == "1500"
    items = _all_items(document)
    containers = [item for item in (document, *items) if item.ValueType == "CONTAINER"]
    assert {item.ContinuityOfContent for item in containers} == {"SEPARATE"}
    names = [item.ConceptNameCodeSequence[0].CodeValue for item in containers]
    assert {"111028", "126010", "C0034375"} <= set(names)
    tracking = [i.UID for i in items if i.ValueType == "UIDREF" and i.ConceptNameCodeSequence[0].CodeValue == "112040"]
    assert len(tracking) == len(set(tracking)) == 2
    assert all("ContentSequence" in item for item in items if item.ValueType == "NUM")
    groups = [c for c in containers if c.ConceptNameCodeSequence[0].CodeValue == "125007"]
    assert all(sum(child.ValueType == "SCOORD" for child in group.ContentSequence) <= 1 for group in groups)


def test_several_regions_of_one_finding_have_groups_and_tracking_of_their_own(tmp_path: Path) -> None:
    """One SCOORD a group, and a tracking UID is never shared by two groups."""
    image = reports.reference("ct")
    forms = tuple(finding.regions[0] for finding in reports.regions(image).findings)
    result = Result(ResultStatus.FINDINGS, "Many.", (reports.Finding(reports.NODULE, present=True, regions=forms),))
    findings = _read(tmp_path, result).findings
    assert len(findings) == 5
    assert len({finding.tracking_uid for finding in findings}) == 5


LONG = "Nodule in the apical segment of the right upper lobe, image 4 "


@pytest.mark.parametrize("names", [("A", "A (2)"), ("A (2)", "A"), (LONG + "a", LONG + "b"), (None, "Pneumothorax 1")])
def test_no_names_of_a_plugin_make_two_lesions_one(tmp_path: Path, names: tuple[str | None, str]) -> None:
    """Names that look like those of further regions, or are alike in their first 56 characters, are no reason to
    refuse the report: each group has a tracking UID of its own, and each finding the name that it was given.
    """
    points = [Point(np.array([x, 20.5]), reports.reference("ct")) for x in (1.5, 2.5, 3.5, 4.5)]
    findings = tuple(
        Finding(reports.PNEUMOTHORAX, present=True, regions=tuple(pair), tracking_id=name)
        for name, pair in zip(names, (points[:2], points[2:]), strict=True)
    )
    read = _read(tmp_path, Result(ResultStatus.FINDINGS, "Four points.", findings)).findings
    assert len({finding.tracking_uid for finding in read}) == len({one.tracking_identifier for one in read}) == 4
    given = [finding.tracking_identifier for finding in read][::2]
    assert given == ["Pneumothorax 1 #1" if name is None else name for name in names]


def test_who_made_it(tmp_path: Path) -> None:
    """Algorithm and node stand in the header and in the tree, as the same device."""
    document = _sr(tmp_path, reports.measured())
    algorithm, node = document.ContributingEquipmentSequence
    assert (algorithm.ManufacturerModelName, algorithm.SoftwareVersions) == ("lung_density", "1.0.0")
    assert (node.Manufacturer, node.ManufacturerModelName) == ("pacsnode", "pacsnode")
    observer = {
        str(item.ConceptNameCodeSequence[0].CodeValue): item
        for item in document.ContentSequence
        if item.RelationshipType == "HAS OBS CONTEXT"
    }
    assert list(observer) == ["121005", "121012", "121013", "121014", "121015", "121016"]
    assert algorithm.DeviceUID == observer["121012"].UID
    assert observer["121013"].TextValue == "lung_density"
    assert observer["121016"].TextValue == algorithm.DeviceSerialNumber
    assert read_sr(document).observer == "lung_density"
    retrained = reports.AlgorithmIdentity("lung_density", "1.0.0", "pacsnode", weights_digest="cd" * 32)
    other = _sr(tmp_path / "other", reports.measured(), algorithm=retrained)
    assert other.ContributingEquipmentSequence[0].DeviceUID != algorithm.DeviceUID
    private = {item.CodingSchemeDesignator for item in document.CodingSchemeIdentificationSequence}
    assert private == {"99PACSNODE", "99TEST"}


def test_flags_and_marking(tmp_path: Path) -> None:
    """Preliminary and unverified always; PARTIAL when the analysis failed; the marking opens the description."""
    document = _sr(tmp_path / "a", reports.measured())
    assert (document.CompletionFlag, document.VerificationFlag, document.PreliminaryFlag) == (
        "COMPLETE",
        "UNVERIFIED",
        "PRELIMINARY",
    )
    assert document.ContentQualification == "RESEARCH"
    assert document.SeriesDescription == "AI-INV lung_density - report"
    assert read_sr(document).marking.startswith("AI-INV lung_density: Investigational AI result")
    assert _sr(tmp_path / "b", reports.failed()).CompletionFlag == "PARTIAL"
    clinical = _sr(tmp_path / "c", reports.measured(), mode="clinical")
    assert (clinical.ContentQualification, clinical.SeriesDescription) == ("PRODUCT", "AI lung_density - report")


def test_references_resolve(tmp_path: Path) -> None:
    """What the tree names is in the evidence, with our own SEG and pages; priors are other evidence."""
    frames = [ImageReference(f"{reports.STUDY_UID}.2.{number}") for number in (1, 2, 3)]
    prior = SourceReference("1.2.3", "1.2.3.1", "1.2.3.1.1", "1.2.840.10008.5.1.4.1.1.2")
    sibling = SourceReference(reports.STUDY_UID, "1.2.9", "1.2.9.1", "1.2.840.10008.5.1.4.1.1.2")
    objects = _set(tmp_path, reports.segmented(frames), evidence=(prior, sibling))
    document = dcmread(next(made.path for made in objects if made.kind == "sr"))

    def uids(sequence: str) -> set[str]:
        return {
            str(instance.ReferencedSOPInstanceUID)
            for study in document[sequence].value
            for series in study.ReferencedSeriesSequence
            for instance in series.ReferencedSOPSequence
        }

    evidence = uids("CurrentRequestedProcedureEvidenceSequence")
    named = {
        str(item.ReferencedSOPSequence[0].ReferencedSOPInstanceUID)
        for item in _all_items(document)
        if "ReferencedSOPSequence" in item
    }
    ours = {made.sop_instance_uid for made in objects if made.kind != "sr"}
    assert named <= evidence
    assert ours | {"1.2.9.1"} <= evidence
    assert uids("PertinentOtherEvidenceSequence") == {"1.2.3.1.1"}
    request = document.ReferencedRequestSequence[0]
    assert (request.RequestedProcedureID, request.AccessionNumber) == ("RP1", "A0001")


def test_segments_are_referred_to_and_share_their_tracking_uid(tmp_path: Path) -> None:
    """TID 1411: each lung's group names its segment, both lungs' names both; tracking UIDs are the SEG's."""
    frames = [ImageReference(f"{reports.STUDY_UID}.2.{number}") for number in (1, 2, 3)]
    objects = _set(tmp_path, reports.segmented(frames))
    report = read_sr(next(made.path for made in objects if made.kind == "sr"))
    assert [finding.segments for finding in report.findings] == [(1,), (2,), (1, 2)]
    segmentation = dcmread(next(made.path for made in objects if made.kind == "seg"))
    by_number = {s.SegmentNumber: s.TrackingUID for s in segmentation.SegmentSequence}
    assert [finding.tracking_uid for finding in report.findings[:2]] == [by_number[1], by_number[2]]
    assert report.findings[2].tracking_uid not in by_number.values()


def test_a_finding_has_the_category_of_the_segment_that_is_the_finding(tmp_path: Path) -> None:
    """TID 1411 row 3: only where the segment's type is the finding; lung density on a lung has none. Not an answer."""
    altered = Code("49755003", "SCT", "Morphologically Altered Structure")
    lungs = reports.lungs(reports.frames("ct"))
    nodule = replace(lungs.segments[0], category=altered, type=reports.NODULE)
    findings = (Finding(reports.NODULE, True, segments=(1,)), Finding(reports.DENSITY, True, segments=(2,)))
    result = Result(
        ResultStatus.FINDINGS, "Two.", findings, segmentation=replace(lungs, segments=(nodule, lungs.segments[1]))
    )
    document = _sr(tmp_path, result)
    groups = [
        i for i in _all_items(document) if i.get("ConceptNameCodeSequence", [Dataset()])[0].get("CodeValue") == "125007"
    ]
    values = [
        [
            c.ConceptCodeSequence[0].CodeValue
            for c in g.ContentSequence
            if c.ConceptNameCodeSequence[0].CodeValue == "276214006"
        ]
        for g in groups
    ]
    assert values == [["49755003"], []]
    assert [finding.evaluations for finding in read_sr(document).findings] == [
        ((reports.NODULE.meaning, "Present"),),
        ((reports.DENSITY.meaning, "Present"),),
    ]


def test_a_rerun_names_what_it_supersedes(tmp_path: Path) -> None:
    """Predecessor Documents Sequence, and the words on it."""
    earlier = SourceReference(reports.STUDY_UID, "1.2.7", "1.2.7.1", "1.2.840.10008.5.1.4.1.1.88.33")
    document = _sr(tmp_path, reports.measured(), supersedes=(earlier,))
    series = document.PredecessorDocumentsSequence[0].ReferencedSeriesSequence[0]
    assert series.ReferencedSOPSequence[0].ReferencedSOPInstanceUID == "1.2.7.1"
    assert any(re.search("supersedes an earlier one", text) for _, text in read_sr(document).notes)


def test_times_are_in_the_offset_of_the_images_else_in_the_zone_of_the_node(tmp_path: Path) -> None:
    """The offset is copied, never invented."""
    document = _sr(tmp_path / "zone", reports.measured())
    assert (document.ContentDate, document.ContentTime) == ("20240102", "102233")
    assert "TimezoneOffsetFromUTC" not in document
    image = reports.ct()
    image.TimezoneOffsetFromUTC = "-0500"
    path = reports.write(image, tmp_path / "offset" / "in.dcm")
    made = encode(reports.request([path], reports.measured()), tmp_path / "offset" / "out")
    document = dcmread(next(one.path for one in made if one.kind == "sr"))
    assert (document.ContentDate, document.ContentTime) == ("20240101", "202233")
    assert document.TimezoneOffsetFromUTC == "-0500"
    assert ("Result made at", "2024-01-01 20:22:33 -05:00") in read_sr(document).notes


def test_korean_report_text(tmp_path: Path) -> None:
    """`language: ko` writes our sentences in Korean and says so in the tree."""
    report = _read(tmp_path, reports.failed("영상이 손상됨"), profile=EncodingProfile(language="ko"))
    assert "음성(정상) 결과가 아닙니다." in report.summary
    document = dcmread(tmp_path / "out" / "sr-001.dcm")
    language = document.ContentSequence[0].ConceptCodeSequence[0]
    assert (language.CodeValue, language.CodingSchemeDesignator) == ("ko", "RFC5646")


def test_what_is_no_report_is_refused(tmp_path: Path) -> None:
    """The reader names the instance that it cannot read as a report."""
    with pytest.raises(NotAReportError, match="no content tree"):
        read_sr(reports.write(reports.ct(), tmp_path / "ct.dcm"))


@pytest.mark.parametrize(
    ("language", "said"),
    [
        ("en", "the slice thickness (t1) is 5 mm; it was validated up to 2 mm"),
        ("ko", "절편 두께 (t1)"),
    ],
)
def test_a_reader_of_another_library_finds_what_the_model_was_not_validated_on(
    tmp_path: Path, language: str, said: str
) -> None:
    """The sentence of an envelope is a text of the report, as highdicom reads the file."""
    limit = EnvelopeLimit("SliceThickness", maximum=2.0, role="t1")
    thick = {"Rows": ["US", [4]], "SliceThickness": ["DS", [5.0]]}
    (sentence,) = envelope.of_headers((limit,), EnvelopeUse(outside="note"), [thick], ["t1"]).sentences
    result = replace(reports.no_findings(), quality=(sentence,))
    profile = EncodingProfile.model_validate({"language": language})
    made = _set(tmp_path, result, profile=profile)
    report = highdicom.sr.srread(next(each.path for each in made if each.kind == "sr"))
    texts = [str(item.TextValue) for item in _all_items(report) if "TextValue" in item]
    assert [text for text in texts if said in text], texts
