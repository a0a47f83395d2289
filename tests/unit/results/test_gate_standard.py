"""The Standard's level of the gate: any object, whoever made it, and never an exception."""

from __future__ import annotations

from collections.abc import Callable
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from pydicom import Dataset, dcmread, dcmwrite
from pydicom.uid import JPEGLSLossless

from node.config.encoding import EncodingProfile
from node.results.gate.standard import problems_by_standard
from tests.support.results import reports
from tests.support.shared_data import shared_data


@pytest.fixture(scope="module")
def objects(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """One object of each kind, all of them right, and the image that they are of."""
    folder = tmp_path_factory.mktemp("objects")
    paths = reports.write_series("ct", folder / "in")
    made = {"ct": paths[0].read_bytes()}
    profile = EncodingProfile(kinds=frozenset(("sr", "sc", "seg", "pm", "ko", "pr")))
    for number, result in enumerate((reports.mapped(reports.reference("ct")), reports.segmented(reports.frames("ct")))):
        for one in reports.whole(reports.request(paths, result, profile=profile), folder / str(number)):
            made.setdefault(one.kind, one.path.read_bytes())
    return made


def test_what_is_right_passes(objects: dict[str, bytes]) -> None:
    """Every kind of object that we write, without anything that only we ask of our own."""
    ours = objects.keys() - {"ct"}
    assert {kind: problems_by_standard(objects[kind]) for kind in ours} == dict.fromkeys(ours, ())


def _set(keyword: str, value: object) -> Callable[[Dataset], None]:
    return lambda dataset: setattr(dataset, keyword, value)


def _drop(keyword: str) -> Callable[[Dataset], None]:
    return lambda dataset: delattr(dataset, keyword)


def _coded(**fields: str) -> Dataset:
    item = Dataset()
    for keyword, value in fields.items():
        setattr(item, keyword, value)
    return item


def _with_table(entries: int) -> Callable[[Dataset], None]:
    def change(dataset: Dataset) -> None:
        item = Dataset()
        item.LUTDescriptor, item.LUTData, item.ModalityLUTType = [8, 0, 16], list(range(entries)), "US"
        item["LUTDescriptor"].VR = item["LUTData"].VR = "US"
        dataset.ModalityLUTSequence = [item]
        del dataset.RescaleSlope, dataset.RescaleIntercept

    return change


def _of_frame(dataset: Dataset) -> None:
    item = Dataset()
    item.ReferencedSOPClassUID, item.ReferencedSOPInstanceUID = dataset.SOPClassUID, "1.2.3"
    item.ReferencedFrameNumber = 2
    dataset.ReferencedImageSequence = [item]


def _lose_a_frame(dataset: Dataset) -> None:
    del dataset.PerFrameFunctionalGroupsSequence[-1]


def _renumber(dataset: Dataset) -> None:
    dataset.SegmentSequence[1].SegmentNumber = 5


def _of_the_chest(dataset: Dataset) -> None:
    dataset.BodyPartExamined, dataset.Laterality = "CHEST", "L"


def _both_orientations(dataset: Dataset) -> None:
    dataset.PatientPosition = "HFS"
    dataset.PatientOrientationCodeSequence = [
        _coded(CodeValue="102538003", CodingSchemeDesignator="SCT", CodeMeaning="recumbent")
    ]


WRONG: dict[str, tuple[str, Callable[[Dataset], None], str]] = {
    "enumerated value": ("ct", _set("PatientSex", "X"), "PatientSex: not one of the values"),
    "enumerated number": ("ct", _set("PixelRepresentation", 2), "PixelRepresentation: not one of the numbers"),
    "value multiplicity": ("ct", _set("PixelSpacing", [1.0, 1.0, 1.0]), "PixelSpacing: 3 values where 2 are allowed"),
    "backslash in a description": ("ct", _set("StudyDescription", ["a", "b"]), "StudyDescription: 2 values where one"),
    "negative spacing": ("ct", _set("SpacingBetweenSlices", "-2.5"), "SpacingBetweenSlices: is below 0"),
    "type 1C": ("ct", _drop("RescaleIntercept"), "RescaleIntercept: missing"),
    "leading zero": ("ct", _set("FrameOfReferenceUID", "1.02.3"), "FrameOfReferenceUID: malformed UID"),
    "code without scheme": (
        "ct",
        _set("ProcedureCodeSequence", [_coded(CodeValue="CT1", CodeMeaning="CT")]),
        "ProcedureCodeSequence[1].CodingSchemeDesignator: missing, which CodeValue asks for",
    ),
    "issuer type": (
        "ct",
        _set("IssuerOfPatientIDQualifiersSequence", [_coded(UniversalEntityID="1.2.3")]),
        "UniversalEntityIDType: missing",
    ),
    "lookup table": ("ct", _with_table(7), "LUTData: 7 entries, the descriptor says 8"),
    "frame of a single frame": ("ct", _of_frame, "ReferencedFrameNumber: of an object of a class of single frames"),
    "two orientations": ("ct", _both_orientations, "PatientPosition: beside PatientOrientationCodeSequence"),
    "side of the chest": (
        "sc",
        _of_the_chest,
        "Laterality: of a body part that is not paired",
    ),
    "planar configuration": ("sc", _drop("PlanarConfiguration"), "PlanarConfiguration: missing, which Photometric"),
    "per-frame groups": ("seg", _lose_a_frame, "PerFrameFunctionalGroupsSequence:"),
    "segment numbers": ("seg", _renumber, "SegmentSequence: Segment Numbers [1, 5], which do not count from 1"),
    "relationship": (
        "sr",
        lambda dataset: setattr(dataset.ContentSequence[0], "RelationshipType", "HAS"),
        "ContentSequence[1].RelationshipType: not one of the values",
    ),
    "text without name": (
        "sr",
        lambda dataset: delattr(dataset.ContentSequence[1], "ConceptNameCodeSequence"),
        "ContentSequence[2].ConceptNameCodeSequence: missing, which ValueType asks for",
    ),
    "another instance in the file meta": (
        "ko",
        lambda dataset: setattr(dataset.file_meta, "MediaStorageSOPInstanceUID", "1.2.3"),
        "MediaStorageSOPInstanceUID: file meta information names another",
    ),
}


@pytest.mark.parametrize("what", WRONG)
def test_finding_t8_what_the_standard_forbids_is_named(objects: dict[str, bytes], what: str) -> None:
    """One thing wrong in an object that was right: the gate names the attribute, and where it is."""
    kind, change, words = WRONG[what]
    dataset = dcmread(BytesIO(objects[kind]))
    change(dataset)
    buffer = BytesIO()
    dcmwrite(buffer, dataset)
    problems = problems_by_standard(buffer.getvalue())
    assert any(words in problem for problem in problems), problems


def test_finding_t8_compressed_pixels_have_no_fixed_length(objects: dict[str, bytes]) -> None:
    """Their length follows from their content."""
    dataset = dcmread(BytesIO(objects["ct"]))
    dataset.compress(JPEGLSLossless, np.zeros((reports.ROWS, reports.COLUMNS), np.int16), generate_instance_uid=False)
    buffer = BytesIO()
    dcmwrite(buffer, dataset)
    assert problems_by_standard(buffer.getvalue()) == problems_by_standard(objects["ct"])


def test_finding_t8_items_by_reference_and_untitled_containers_are_right(objects: dict[str, bytes]) -> None:
    """Content items of others that the Standard allows, and ours have not."""
    dataset = dcmread(BytesIO(objects["sr"]))
    by_reference, untitled = Dataset(), Dataset()
    by_reference.RelationshipType, by_reference.ReferencedContentItemIdentifier = "INFERRED FROM", [1, 2]
    untitled.RelationshipType, untitled.ValueType = "CONTAINS", "CONTAINER"
    untitled.ContinuityOfContent = "CONTINUOUS"
    untitled.ContentSequence = []
    dataset.ContentSequence[1].ContentSequence = [by_reference]
    dataset.ContentSequence.append(untitled)
    buffer = BytesIO()
    dcmwrite(buffer, dataset)
    assert problems_by_standard(buffer.getvalue()) == ()


@pytest.mark.parametrize("name", ["pydicom_pydicom/src/pydicom/data", "cases"])
def test_finding_t8_no_file_makes_it_fail(name: str) -> None:
    """Broken and odd files, of which other programs say that they cannot be read at all: always an answer."""
    folder: Path = shared_data(name)
    files = sorted(path for path in folder.rglob("*") if path.is_file() and path.stat().st_size < 200_000)
    for path in files[:: max(1, len(files) // 60)]:
        assert isinstance(problems_by_standard(path.read_bytes()), tuple), path


@pytest.mark.parametrize("length", [0, 1, 131, 132, 140, 400, 1000, 5000])
def test_finding_t8_a_file_that_was_cut_has_an_answer(objects: dict[str, bytes], length: int) -> None:
    """At whatever byte."""
    for content in objects.values():
        assert isinstance(problems_by_standard(content[:length]), tuple)


def _odd(number: int) -> Dataset:
    """A CT image with what real senders write wrongly, none of which may be in what we make of it."""
    image = reports.ct(number)
    image.SpacingBetweenSlices = "-10"
    image.StudyDescription = ["CT", "chest"]
    image.ProcedureCodeSequence = [_coded(CodeValue="CT1", CodeMeaning="CT")]
    image.ClinicalTrialSponsorName = ""
    image.PatientSpeciesDescription = "Canine"
    reference = Dataset()
    reference.ReferencedSOPClassUID, reference.ReferencedSOPInstanceUID = image.SOPClassUID, "1.2.3"
    reference.ReferencedFrameNumber = 1
    image.ReferencedImageSequence = [reference]
    return image


def test_finding_s8_s13_odd_sources_give_conformant_objects(tmp_path: Path) -> None:
    """Negative spacing, backslashes, codes without scheme, species without breed: nothing of it is in ours."""
    paths = [reports.write(_odd(number), tmp_path / "in" / f"{number}.dcm") for number in (1, 2, 3)]
    profile = EncodingProfile(kinds=frozenset(("sr", "sc", "seg", "pm", "ko", "pr")))
    for number, result in enumerate((reports.mapped(reports.reference("ct")), reports.segmented(reports.frames("ct")))):
        for one in reports.whole(reports.request(paths, result, profile=profile), tmp_path / str(number)):
            assert problems_by_standard(one.path.read_bytes()) == (), one.kind
            spacings = [each.value for each in dcmread(one.path).iterall() if each.keyword == "SpacingBetweenSlices"]
            assert all(float(spacing) > 0 for spacing in spacings), one.kind
