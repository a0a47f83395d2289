"""The gate before sending: what is right passes, each thing that is wrong is named."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from io import BytesIO
from pathlib import Path

import pytest
from pydicom import Dataset, dcmread, dcmwrite
from pydicom.sr.codedict import codes

from node.config.encoding import EncodingProfile, Kind
from node.results import object_set
from node.results.context import Context, prepare
from node.results.encode import encode
from node.results.errors import NotEncodableError
from node.results.gate.judging import EncodedCandidate, SetRefusedError, problems_of
from node.results.source.identity import SourceIdentity, identity_of
from tests.support.results import reports

ALL: frozenset[Kind] = frozenset(("sr", "sc", "seg", "pm", "ko", "pr"))


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Context, dict[str, EncodedCandidate]]:
    """One right set, by the name of each object (`sr 1`)."""
    folder = tmp_path_factory.mktemp("set")
    paths = reports.write_series("ct", folder / "in")
    result = reports.mapped(reports.reference("ct"))
    request = reports.request(paths, result, profile=EncodingProfile(kinds=ALL))
    return prepare(request), {
        f"{one.kind} {one.instance_number}": EncodedCandidate(one.kind, dcmread(one.path), one.path.read_bytes())
        for one in encode(request, folder / "out")
    }


def _group(report: Dataset) -> Dataset:
    container = next(i for i in report.ContentSequence if i.ConceptNameCodeSequence[0].CodeValue == "126010")
    return container.ContentSequence[0]


def _named(item: Dataset, value_type: str) -> Dataset:
    return next(i for i in item.ContentSequence if i.ValueType == value_type)


def _drop(keyword: str) -> Callable[[Dataset], None]:
    return lambda dataset: delattr(dataset, keyword)


def _set(keyword: str, value: object) -> Callable[[Dataset], None]:
    return lambda dataset: setattr(dataset, keyword, value)


def _dangling(report: Dataset) -> None:
    library = next(i for i in report.ContentSequence if i.ConceptNameCodeSequence[0].CodeValue == "111028")
    library.ContentSequence[0].ContentSequence[0].ReferencedSOPSequence[0].ReferencedSOPInstanceUID = "1.2.3.4"


def _no_meaning(report: Dataset) -> None:
    del report.ContentSequence[0].ConceptNameCodeSequence[0].CodeMeaning


def _wrong_class(report: Dataset) -> None:
    study = report.CurrentRequestedProcedureEvidenceSequence[0]
    study.ReferencedSeriesSequence[0].ReferencedSOPSequence[0].ReferencedSOPClassUID = "1.2.840.10008.5.1.4.1.1.4"


def _continuous(report: Dataset) -> None:
    _group(report).ContinuityOfContent = "CONTINUOUS"


def _in_the_patient(report: Dataset) -> None:
    item = _named(_group(report), "SCOORD")
    item.ValueType, item.GraphicType = "SCOORD3D", "POLYLINE"


def _valueless(report: Dataset) -> None:
    _named(_group(report), "NUM").MeasuredValueSequence = []


def _untracked(report: Dataset) -> None:
    group = _group(report)
    group.ContentSequence = [item for item in group.ContentSequence if item.ValueType != "UIDREF"]


def _other_answer(report: Dataset) -> None:
    for item in report.iterall():
        if item.keyword == "ContentSequence":
            for child in item.value:
                if child.get("ConceptNameCodeSequence", [Dataset()])[0].get("CodeValue") == "111017":
                    child.ConceptCodeSequence[0].CodeValue = codes.DCM.AllAlgorithmsSucceededWithoutFindings.value


def _other_template(report: Dataset) -> None:
    report.ContentTemplateSequence[0].TemplateIdentifier = "2000"


FAULTS: dict[str, tuple[Kind, Callable[[Dataset], None], str]] = {
    "another patient": ("sr", _set("PatientID", "87654321"), "PatientID: is not the source image's"),
    "no patient": ("pm", _drop("PatientID"), "PatientID: missing (Type 2, patient)"),
    "another order": ("sc", _set("AccessionNumber", "B1"), "AccessionNumber: is not the source image's"),
    "something added": ("pr", _set("PatientComments", "x"), "PatientComments: is not in the source"),
    "Type 1 missing": ("sr", _drop("CompletionFlag"), "CompletionFlag: missing (Type 1, sr-document-general)"),
    "Type 1 empty": ("pm", _set("ContentLabel", ""), "ContentLabel: empty (Type 1, parametric-map-image)"),
    "Type 2 missing": ("pr", _drop("PresentationCreationDate"), "PresentationCreationDate: missing"),
    "too long": (
        "sr",
        _set("SeriesDescription", "AI-INV lung_density " + "x" * 60),
        "The value length (80) exceeds",
    ),
    "no UID": ("ko", _set("SeriesInstanceUID", "1.2.x"), "SeriesInstanceUID: malformed UID"),
    "a source's series": ("sc", _set("SeriesInstanceUID", f"{reports.STUDY_UID}.2"), "SeriesInstanceUID: is a source"),
    "dangling": ("sr", _dangling, "1.2.3.4 is not an instance that is known here"),
    "not in the evidence": ("sr", _dangling, "ContentSequence: refers to 1.2.3.4, which the evidence does not list"),
    "another class": ("sr", _wrong_class, "is not the class of"),
    "unmarked": ("sc", _set("SeriesDescription", "Result"), "does not begin with the marking 'AI-INV lung_density'"),
    "called a product": ("pm", _set("ContentQualification", "PRODUCT"), "ContentQualification: is not RESEARCH"),
    "verified": ("sr", _set("VerificationFlag", "VERIFIED"), "nobody has verified this"),
    "half a picture": (
        "pm",
        lambda d: setattr(d, "FloatPixelData", d.FloatPixelData[:100]),
        "FloatPixelData: 100 bytes, expected",
    ),
    "another template": ("sr", _other_template, "ContentTemplateSequence: is not DCMR 1500"),
    "continuous": ("sr", _continuous, "continuous"),
    "continuous from the root on": (
        "ko",
        _set("ContinuityOfContent", "CONTINUOUS"),
        "ContinuityOfContent: some viewers",
    ),
    "coordinates that the class has not": ("sr", _in_the_patient, "SCOORD3D: this SOP class has no coordinates"),
    "no value and no reason": ("sr", _valueless, "neither a value nor the reason"),
    "untracked": ("sr", _untracked, "0 items 'Tracking Unique Identifier', expected one"),
    "another answer": ("sr", _other_answer, "the summary code is ['111241']"),
    "not complete": (
        "sr",
        _set("CompletionFlag", "PARTIAL"),
        "PARTIAL for a result that is 'findings'",
    ),
}


def _spoilt(candidate: EncodedCandidate, spoil: Callable[[Dataset], None]) -> EncodedCandidate:
    dataset = dcmread(BytesIO(candidate.content))
    spoil(dataset)
    buffer = BytesIO()
    dcmwrite(buffer, dataset)
    return EncodedCandidate(candidate.kind, dataset, buffer.getvalue())


def test_a_right_set_passes(made: tuple[Context, dict[str, EncodedCandidate]]) -> None:
    """No false alarm: what the encoder writes has no problem."""
    context, candidates = made
    assert problems_of(candidates.values(), context) == ()


@pytest.mark.filterwarnings("ignore:.*value length.*:UserWarning", "ignore:Invalid value for VR UI:UserWarning")
@pytest.mark.parametrize("fault", FAULTS)
def test_each_fault_is_found_and_named(made: tuple[Context, dict[str, EncodedCandidate]], fault: str) -> None:
    """One thing wrong in one object of the set: the object and the attribute are named."""
    context, candidates = made
    kind, spoil, words = FAULTS[fault]
    name = f"{kind} 1"
    spoilt = {**candidates, name: _spoilt(candidates[name], spoil)}
    problems = problems_of(spoilt.values(), context)
    assert any(problem.startswith(f"{name}: ") and words in problem for problem in problems), problems


SOURCE_FAULTS: dict[str, tuple[Kind, Callable[[Dataset], None], str]] = {
    "replacement character": ("sr", _set("StudyDescription", "Th\ufffdrax"), "StudyDescription: a control or repl"),
    "control character": ("sr", _set("StudyDescription", "Tho\x07rax"), "StudyDescription: a control or replacement"),
    "two values": ("sr", _set("StudyDescription", ["CT", "chest"]), "StudyDescription: 2 values where one is allowed"),
    "no meaning": ("sr", _no_meaning, "ConceptNameCodeSequence: a code without meaning"),
    "inherited": ("pm", _set("NameOfPhysiciansReadingStudy", "Kim"), "NameOfPhysiciansReadingStudy: is none of"),
    "of a trial": (
        "sr",
        _set("ClinicalTrialSponsorName", "Kim"),
        "ClinicalTrialSponsorName: is none of the attributes",
    ),
    "of the scanner": ("sc", _set("StationName", "CT1"), "StationName: is none of the attributes"),
}


@pytest.mark.parametrize("fault", SOURCE_FAULTS)
def test_finding_s2_what_a_source_could_bring_in_is_found(
    made: tuple[Context, dict[str, EncodedCandidate]], fault: str
) -> None:
    """Texts, codes and attributes as images have them, and our objects must not: each is refused by name."""
    context, candidates = made
    kind, spoil, words = SOURCE_FAULTS[fault]
    problems = problems_of([_spoilt(candidates[f"{kind} 1"], spoil)], context)
    assert any(words in problem for problem in problems), problems


def test_a_name_that_its_character_set_cannot_hold_is_found(made: tuple[Context, dict[str, EncodedCandidate]]) -> None:
    """Fault 38: what comes back from the bytes is compared with what was meant."""
    context, candidates = made
    meant = dcmread(BytesIO(candidates["sr 1"].content))
    meant.SeriesDescription = "AI-INV lung_density - 보고"
    written = _spoilt(candidates["sr 1"], _set("SeriesDescription", "AI-INV lung_density - ??"))
    problems = problems_of([*candidates.values(), EncodedCandidate("sr", meant, written.content)], context)
    assert any("SeriesDescription: is not the text that was meant" in problem for problem in problems)


def test_one_uid_for_two_objects_is_found(made: tuple[Context, dict[str, EncodedCandidate]]) -> None:
    """No UID ever has two contents."""
    context, candidates = made
    problems = problems_of([*candidates.values(), candidates["ko 1"]], context)
    assert any("occurs twice in the set" in problem for problem in problems)


def test_refused_objects_stay_with_the_reasons(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The object that is refused is kept beside the reasons, and not where the outbox takes from."""
    monkeypatch.setattr(
        object_set,
        "problems_of",
        lambda made, *_, **__: ("sr 1: PatientID: missing",) if made[0].kind == "sr" else (),
    )
    paths = reports.write_series("ct", tmp_path / "in")
    encode(reports.request(paths, reports.measured()), tmp_path / "out")
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"refused", "sc-001.dcm"}
    kept = {path.name for path in (tmp_path / "out" / "refused").iterdir()}
    assert kept == {"reasons.txt", "sr-001.dcm"}
    assert (tmp_path / "out" / "refused" / "reasons.txt").read_text() == "sr 1: PatientID: missing\n"


def test_the_refusal_survives_the_way_out_of_the_encoders_process() -> None:
    """It is raised in a child process and read in the node; a hundred problems are counted, not listed."""
    error = pickle.loads(pickle.dumps(SetRefusedError(tuple(f"problem {n}" for n in range(100)))))
    assert (str(error).count("problem"), str(error).endswith("(and 88 more)")) == (12, True)


# --- values that the source should not have had ---------------------------------------------------------


@pytest.mark.parametrize(
    ("keyword", "value"),
    [("AccessionNumber", "A" * 17), ("PatientID", "1" * 65), ("PatientName", "Hong^" + "g" * 70)],
)
@pytest.mark.filterwarnings("ignore:.*length.*:UserWarning")
def test_an_identifier_that_fits_no_object_is_refused_by_name(keyword: str, value: str) -> None:
    """A cut Accession Number is another order's; the message names the attribute, never the value."""
    image = reports.ct()
    setattr(image, keyword, value)
    with pytest.raises(NotEncodableError, match=f"{keyword}: {len(value)} characters") as caught:
        _identity(image)
    assert value not in str(caught.value)


@pytest.mark.filterwarnings("ignore:.*length.*:UserWarning")
def test_a_description_that_is_too_long_is_cut() -> None:
    """It describes and does not identify: 64 characters of it are better than no result."""
    image = reports.ct()
    image.StudyDescription = "CT " * 40
    assert _identity(image).patient_and_study.StudyDescription == ("CT " * 40)[:64].rstrip()


@pytest.mark.filterwarnings("ignore:.*length.*:UserWarning")
def test_what_names_something_and_is_too_long_is_left_out_never_cut() -> None:
    """The first 16 characters of a Study ID or a code are another's: Study ID stays empty (Type 2), the code goes."""
    image, long, right = reports.ct(), Dataset(), Dataset()
    image.StudyID = "S" * 17
    long.CodeValue, long.CodingSchemeDesignator, long.CodeMeaning = "C" * 17, "99SITE", "CT chest"
    right.CodeValue, right.CodingSchemeDesignator, right.CodeMeaning = "CT1", "99SITE", "CT chest"
    image.ProcedureCodeSequence = [long, right]
    identity = _identity(image)
    assert identity.patient_and_study.StudyID == ""
    assert [item.CodeValue for item in identity.patient_and_study.ProcedureCodeSequence] == ["CT1"]
    assert [change.partition(":")[0] for change in identity.changes] == [
        "StudyID (0020,0010)",
        "ProcedureCodeSequence[1].CodeValue (0008,0100)",
        "ProcedureCodeSequence (0008,1032)",
    ]


def _identity(image: Dataset) -> SourceIdentity:
    buffer = BytesIO()
    reports.write_to(image, buffer)
    return identity_of(dcmread(BytesIO(buffer.getvalue())))
