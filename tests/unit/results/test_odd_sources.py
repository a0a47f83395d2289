"""Optional attributes of the images, valid or broken, never cost a result; what identifies is right, or it is held."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from copy import deepcopy
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydicom import Dataset, dcmread

from node.config.encoding import EncodingProfile
from node.results.context import prepare
from node.results.encoded import EncodedSet
from node.results.errors import NotEncodableError
from node.results.object_set import object_set
from node.results.request import EncodingRequest
from node.results.source.copied import of_patient_and_study
from node.results.source.identity import SourceIdentity, identity_of
from plugins.contract import Result
from tests.support.images.broken_sources import FORMS, IDENTIFYING, IN_WORDS, attributes, write
from tests.support.results import reports

DESCRIPTIVE = sorted(attributes().keys() - IDENTIFYING)
ALL_KINDS: frozenset[Any] = frozenset({"sr", "sc", "seg", "pm", "ko", "pr"})
pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")


def everything(kind: str = "ct") -> Result:
    """A result of which each kind of object is made."""
    result = reports.segmented(reports.frames(kind))
    more = reports.mapped(reports.reference(kind))
    findings = (*result.findings, *more.findings)
    return replace(result, findings=findings, heatmaps=more.heatmaps, key_images=more.key_images)


def request(
    folder: Path, forms: Mapping[str, str], result: Result | None = None, source: str = "ct", **profile: Any
) -> EncodingRequest:
    """The images of a kind of source in UTF-8, all with these attributes in these forms, and what is asked of them."""
    numbers = (1,) if source in reports.MULTI_FRAME else (1, 2, 3)
    paths = [write(_utf_8(number, source), forms, folder / f"{number}.dcm") for number in numbers]
    kinds = {"kinds": ALL_KINDS} | profile
    return reports.request(paths, result or everything(source), profile=EncodingProfile(**kinds))


def made(folder: Path, forms: Mapping[str, str], **profile: Any) -> EncodedSet:
    """The objects; the gate has judged them, and none is missing."""
    return reports.whole(request(folder / "in", forms, **profile), folder / "out")


@pytest.mark.parametrize("form", FORMS)
def test_finding_s2_no_attribute_that_describes_costs_the_result(tmp_path: Path, form: str) -> None:
    """All optional attributes of all modules in one broken form at once: every kind of object leaves, and is valid."""
    kinds = ALL_KINDS if FORMS.index(form) % 6 == 0 else ALL_KINDS - {"sc"}  # pages cost most, and differ least
    objects = made(tmp_path, dict.fromkeys(DESCRIPTIVE, form), character_set="source", kinds=kinds)
    without_place = kinds - {"pm"}  # where Frame of Reference UID is no UID, a map has no place
    assert {one.kind for one in objects} in (kinds, without_place)
    replaced = "\ufffd".encode()
    assert not [one.kind for one in objects if one.kind != "sc" and replaced in one.path.read_bytes()]


@pytest.mark.parametrize("source", reports.SOURCES)
def test_finding_s2_no_kind_of_source_is_lost_to_what_describes(tmp_path: Path, source: str) -> None:
    """All optional attributes of a source, each in another broken form: report, segmentation and key images leave."""
    turn = sorted(reports.SOURCES).index(source)
    forms = {keyword: FORMS[(number + turn) % len(FORMS)] for number, keyword in enumerate(DESCRIPTIVE)}
    forms |= {"FrameOfReferenceUID": "valid"} if source not in ("cr", "dx", "mg", "us", "xa") else {}
    kinds = ALL_KINDS - {"sc"}
    objects = made(tmp_path, forms, source=source, kinds=kinds)
    assert {one.kind for one in objects} >= kinds - {"pm", "pr"}


def held(folder: Path, forms: Mapping[str, str], **profile: Any) -> NotEncodableError | None:
    """Why the result is held; None where a set left, which the gate has judged."""
    try:
        made(folder, forms, **profile)
    except NotEncodableError as error:
        return error
    return None


def test_finding_s2_slices_without_a_frame_of_reference_share_a_segmentation(tmp_path: Path) -> None:
    """Frame of Reference UID empty: one SEG for the series, whose frames name their images; no map, and a report."""
    result = reports.segmented(reports.frames("ct"))
    objects = made(tmp_path, {"FrameOfReferenceUID": "empty"}, result=result)
    (seg,) = (dcmread(one.path) for one in objects if one.kind == "seg")
    sources = [
        str(frame.DerivationImageSequence[0].SourceImageSequence[0].ReferencedSOPInstanceUID)
        for frame in seg.PerFrameFunctionalGroupsSequence
    ]
    assert sorted(set(sources)) == [frame.sop_instance_uid for frame in reports.frames("ct")]
    assert "FrameOfReferenceUID" not in seg


@pytest.mark.parametrize("keyword", sorted(IDENTIFYING))
def test_finding_s2_what_identifies_is_right_or_the_result_is_held(tmp_path: Path, keyword: str) -> None:
    """One identifier in each form: the objects leave, or the reason names it and holds no value."""
    for form in FORMS:
        error = held(tmp_path / form, {keyword: form}, result=reports.failed(), kinds=frozenset({"sr"}))
        assert error is None or error.attribute in IN_WORDS, (form, error)
        assert "Some text" not in str(error)


@settings(max_examples=20, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    forms=st.dictionaries(st.sampled_from(sorted(attributes())), st.sampled_from(FORMS), min_size=1, max_size=12),
    source=st.sampled_from(sorted(reports.SOURCES)),
)
def test_finding_s2_any_mixture_of_broken_attributes(
    tmp_path_factory: pytest.TempPathFactory, forms: dict[str, str], source: str
) -> None:
    """Whatever is broken together, in whatever kind of source: a valid set leaves, or the reason is one of identity."""
    error = held(tmp_path_factory.mktemp("mixture"), forms, source=source, kinds=ALL_KINDS - {"sc"})
    assert error is None or error.attribute in IN_WORDS, error


def test_finding_s2_each_attribute_in_each_form_is_copied_right_or_told(tmp_path: Path, *, full_length: bool) -> None:
    """Alone in each of its forms, no attribute leaves a value that is wrong; what was changed is told without it."""
    known = {attribute.keyword for attribute in of_patient_and_study()} | {"RequestAttributesSequence"}
    for keyword in sorted(attributes().keys() if full_length else known & attributes().keys()):
        for form in FORMS:
            error, identity = _identity(write(_utf_8(), {keyword: form}, tmp_path / "in.dcm"))
            assert error is None or error.attribute in IN_WORDS, (keyword, form, error)
            assert {element.keyword for element in identity.patient_and_study} <= known
            for change in identity.changes:
                assert change.startswith(keyword), (keyword, form, change)
                assert not any(value in change for value in ("Some text", "One", "LONG", "Doctor")), change


def _reference_elsewhere() -> Dataset:
    item = Dataset()
    item.ReferencedSOPClassUID, item.ReferencedSOPInstanceUID = "1.2.840.10008.3.1.2.3.1", "1.2.3.4.5"
    return item


def test_finding_s1_references_to_other_studies_and_patients_stay_behind(tmp_path: Path) -> None:
    """Valid ones in the images: each kind of object leaves, and none of them refers to what nobody knows there."""
    image = reports.ct()
    image.ReferencedStudySequence, image.ReferencedPatientSequence = [_reference_elsewhere()], [_reference_elsewhere()]
    paths = [reports.write(image, tmp_path / "in.dcm")]
    result = everything()
    assert result.segmentation is not None
    frames = result.segmentation.frames[:1]
    one = replace(result.segmentation, labels=result.segmentation.labels[:1], frames=frames)
    profile = EncodingProfile(kinds=ALL_KINDS)
    objects = reports.whole(
        reports.request(paths, replace(result, segmentation=one), profile=profile), tmp_path / "out"
    )
    assert {made.kind for made in objects} == ALL_KINDS
    for made in objects:
        assert b"1.2.3.4.5" not in made.path.read_bytes(), made.kind
        assert not {"ReferencedStudySequence", "ReferencedPatientSequence"} & set(dcmread(made.path).dir()), made.kind


@pytest.mark.parametrize("label", ["ISO IR 100", "UTF-8", "ISO_IR 6", ["ISO_IR 6", "ISO 2022 IR 87"]])
def test_finding_s2_a_character_set_that_is_none_is_not_handed_on(tmp_path: Path, label: str | list[str]) -> None:
    """`character_set: source` keeps what the Standard defines; beside text in ASCII anything else becomes UTF-8."""
    image = reports.ct()
    image.SpecificCharacterSet = label
    profile = EncodingProfile(character_set="source")
    request = reports.request([reports.write(image, tmp_path / "in.dcm")], reports.failed(), profile=profile)
    for made in reports.whole(request, tmp_path / "out"):
        assert dcmread(made.path).SpecificCharacterSet == "ISO_IR 192"


def test_finding_s3_a_code_without_meaning_is_left_out_and_the_others_stay(tmp_path: Path) -> None:
    """Of a procedure's two codes the whole one arrives; what became of the other is told, without its value."""
    image, broken, whole = reports.ct(), Dataset(), Dataset()
    broken.CodeValue, broken.CodingSchemeDesignator = "SECRET", "99SITE"
    whole.CodeValue, whole.CodingSchemeDesignator, whole.CodeMeaning = "CT1", "99SITE", "CT chest"
    image.ProcedureCodeSequence = [broken, whole]
    request = reports.request([reports.write(image, tmp_path / "in.dcm")], reports.failed())
    for made in reports.whole(request, tmp_path / "out"):
        assert [item.CodeValue for item in dcmread(made.path).ProcedureCodeSequence] == ["CT1"]
        assert made.changes == ("ProcedureCodeSequence (0008,1032): item 1 left out: without CodeMeaning",)


def _within(dataset: Dataset) -> Iterator[int]:
    """The identities of a data set, of its elements and of all in its items."""
    yield id(dataset)
    for element in dataset:
        yield id(element)
        if element.VR == "SQ":
            for item in element.value:
                yield from _within(item)


@pytest.mark.parametrize("kind", ["ct", "enhanced-ct", "us"])
def test_finding_s10_making_objects_leaves_the_source_as_it_was(tmp_path: Path, kind: str) -> None:
    """No object takes anything out of the image's header, and none shares an element with it or with another."""
    profile = EncodingProfile(kinds=ALL_KINDS - {"sc"})
    context = prepare(reports.request(reports.write_series(kind, tmp_path), everything(kind), profile=profile))
    before = [deepcopy(image.header) for image in context.sources.images]
    objects = [one.dataset for one in object_set(context).objects]
    assert [image.header for image in context.sources.images] == before
    datasets = [*objects, context.identity, *context.requests, *(image.header for image in context.sources.images)]
    counted = Counter(each for dataset in datasets for each in set(_within(dataset)))
    assert not [each for each, count in counted.items() if count > 1]


def test_finding_s10_request_attributes_in_hangul_arrive_beside_a_segmentation(tmp_path: Path) -> None:
    """Written in ISO 2022 IR 149 in the image: every object has the same text, whatever was made before it."""
    paths = []
    for number in (1, 2, 3):
        image = reports.ct(number)
        image.SpecificCharacterSet = ["", "ISO 2022 IR 149"]
        image.RequestAttributesSequence[0].RequestedProcedureDescription = "\ud751\ubd80 CT"
        paths.append(reports.write(image, tmp_path / f"{number}.dcm"))
    objects = reports.whole(reports.request(paths, everything()), tmp_path / "out")
    texts = {
        str(item.RequestedProcedureDescription)
        for made in objects
        for dataset in [dcmread(made.path)]
        for item in dataset.get("RequestAttributesSequence") or dataset.get("ReferencedRequestSequence") or ()
    }
    assert texts == {"\ud751\ubd80 CT"}


def _utf_8(number: int = 1, source: str = "ct") -> Dataset:
    image = reports.SOURCES[source](number)
    image.SpecificCharacterSet = "ISO_IR 192"
    return image


def _identity(path: Path) -> tuple[NotEncodableError | None, SourceIdentity]:
    try:
        return None, identity_of(dcmread(path, stop_before_pixels=True))
    except NotEncodableError as error:
        return error, SourceIdentity(Dataset(), (), ())
