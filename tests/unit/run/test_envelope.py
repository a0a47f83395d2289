"""Which images are like those that a plugin was validated on, by their headers as the node reads them."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from pydicom import Dataset
from pydicom.dataset import FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian

from node import envelope
from node.config.envelope import EnvelopeUse
from node.index import header
from node.results.texts import ENGLISH, KOREAN
from plugins.envelope import ATTRIBUTES, Envelope, EnvelopeLimit

DEFAULT = EnvelopeUse()
THIN = EnvelopeLimit("SliceThickness", minimum=0.5, maximum=2.0)
KERNEL = EnvelopeLimit("ConvolutionKernel", values=("B30f",))
ADULTS = EnvelopeLimit("patient_age", minimum=18.0, maximum=70.0)
NATIVE = EnvelopeLimit("contrast", values=("none",))
THICK = "Outside of what this was validated on: the slice thickness is 5 mm; it was validated from 0.5 to 2 mm."


def ct(**elements: Any) -> dict[str, Any]:
    """The header of an image as the ledger keeps it; elements as `Keyword=(VR, value, …)`."""
    plain = {"Rows": ("US", 4), "Modality": ("CS", "CT"), **elements}
    return {keyword: [vr, list(values)] for keyword, (vr, *values) in plain.items()}


def said(limit: EnvelopeLimit, *headers: dict[str, Any]) -> tuple[str, ...]:
    """The sentences on images with these headers."""
    return envelope.of_headers((limit,), DEFAULT, headers).sentences


def test_one_thick_image_puts_a_job_outside() -> None:
    """By the number found, beside what it should be; what lies within says nothing."""
    thin, thick = ct(SliceThickness=("DS", 1.0)), ct(SliceThickness=("DS", 5.0))
    assert said(THIN, thin) == ()
    assert said(THIN, thin, thick, thick) == (THICK,)


def test_the_site_says_what_becomes_of_it() -> None:
    """Outside ends as not applicable and unknown is noted, unless the site wants it otherwise."""
    for found, by_default in ((ct(SliceThickness=("DS", 5.0)), True), (ct(), False)):
        assert envelope.of_headers((THIN,), DEFAULT, [found]).is_refused is by_default
        other = EnvelopeUse(outside="note", unknown="not_applicable")
        assert envelope.of_headers((THIN,), other, [found]).is_refused is not by_default


def test_a_job_that_is_refused_says_only_what_refuses_it() -> None:
    """Not what is not known beside."""
    verdict = envelope.of_headers((THIN, KERNEL), DEFAULT, [ct(SliceThickness=("DS", 5.0))])
    assert (verdict.is_refused, verdict.sentences) == (True, (THICK,))


@pytest.mark.parametrize("stated", [(), ("DS",), ("DS", "thin"), ("CS", " ")])
def test_what_cannot_be_read_is_not_known(stated: tuple[Any, ...]) -> None:
    """An attribute that is absent, empty or no number."""
    elements = {"SliceThickness": stated} if stated else {}
    unknown = "Not known whether this was validated on such images: they do not state the slice thickness."
    assert said(THIN, ct(SliceThickness=("DS", 1.0)), ct(**elements)) == (unknown,)


@pytest.mark.parametrize(
    ("elements", "outside"),
    [
        ({"PatientAge": ("AS", "070Y")}, False),
        ({"PatientAge": ("AS", "071Y")}, True),
        ({"PatientAge": ("AS", "010M")}, True),
        ({"PatientBirthDate": ("DA", "20080302"), "StudyDate": ("DA", "20260301")}, True),
        ({"PatientBirthDate": ("DA", "20080301"), "StudyDate": ("DA", "20260301")}, False),
    ],
)
def test_the_age_is_in_completed_years(elements: dict[str, Any], outside: bool) -> None:
    """By Patient's Age, else by the dates."""
    assert bool(said(ADULTS, ct(**elements))) is outside


@pytest.mark.parametrize(
    ("elements", "given"),
    [
        ({}, False),
        ({"ContrastBolusAgent": ("LO", "")}, False),
        ({"ContrastBolusAgent": ("LO", "None")}, False),
        ({"ContrastBolusAgent": ("LO", "IOMERON 400")}, True),
        ({"ContrastBolusAgentSequence": ("SQ", {"CodeValue": ["SH", ["C-B0322"]]})}, True),
        ({"ContrastBolusAgent": ("LO", "IOMERON"), "ContrastBolusAgentAdministered": ("CS", "NO")}, False),
    ],
)
def test_contrast_is_given_where_an_agent_is_stated(elements: dict[str, Any], given: bool) -> None:
    """Images without have no Contrast/Bolus module; some scanners write that there was none."""
    assert bool(said(NATIVE, ct(**elements))) is given
    assert bool(said(EnvelopeLimit("contrast", values=("given",)), ct(**elements))) is not given


def test_objects_without_pixels_are_not_looked_at() -> None:
    """A report that a plugin gets beside images has no slices."""
    report = ct()
    del report["Rows"]
    assert said(THIN, report, ct(SliceThickness=("DS", 1.0))) == ()


def enhanced(folder: Path, thicknesses: list[float]) -> dict[str, Any]:
    """The header, as the node reads it, of an enhanced CT whose frames have these slice thicknesses."""
    dataset = Dataset()
    dataset.SOPClassUID, dataset.SOPInstanceUID = "1.2.840.10008.5.1.4.1.1.2.1", "1.2.3.4"
    dataset.StudyInstanceUID, dataset.SeriesInstanceUID, dataset.Modality = "1.2.3", "1.2.3.1", "CT"
    dataset.Rows = dataset.Columns = 4
    dataset.NumberOfFrames = len(thicknesses)
    shared, reconstruction, exposure = Dataset(), Dataset(), Dataset()
    reconstruction.ConvolutionKernel = "B70f"
    exposure.CTDIvol, exposure.ExposureInmAs = 12.5, 180.0
    shared.CTReconstructionSequence, shared.CTExposureSequence = [reconstruction], [exposure]
    dataset.SharedFunctionalGroupsSequence = [shared]
    frames = []
    for thickness in thicknesses:
        frame, measures = Dataset(), Dataset()
        measures.SliceThickness = thickness
        frame.PixelMeasuresSequence = [measures]
        frames.append(frame)
    dataset.PerFrameFunctionalGroupsSequence = frames
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    path = folder / "enhanced.dcm"
    dataset.save_as(path, enforce_file_format=True)
    return header.read_file(path, datetime.now(UTC)).header


def test_functional_groups_of_enhanced_images_are_found(tmp_path: Path) -> None:
    """Shared and per frame; exposure under the keyword that it has there."""
    image = enhanced(tmp_path, [1.0, 5.0])
    assert said(THIN, image) == (THICK,)
    assert "the convolution kernel is B70f; it was validated for B30f." in said(KERNEL, image)[0]
    assert (
        "the exposure is 180 mAs; it was validated up to 100 mAs."
        in (said(EnvelopeLimit("Exposure", maximum=100.0), image)[0])
    )
    assert said(EnvelopeLimit("CTDIvol", maximum=20.0), image) == ()


def test_every_sentence_is_korean_for_korean_readers() -> None:
    """With the name of every attribute."""
    every: Envelope = tuple(
        EnvelopeLimit(name, maximum=0.5) if each.is_number else EnvelopeLimit(name, values=("given",))
        for name, each in ATTRIBUTES.items()
    )
    outside = envelope.of_headers(
        (THIN, KERNEL), DEFAULT, [ct(SliceThickness=("DS", 5), ConvolutionKernel=("SH", "B70f"))]
    )
    unknown = envelope.of_headers(every, DEFAULT, [ct()])
    for sentence in (*outside.sentences, *unknown.sentences):
        assert sentence.isascii()
        assert len(sentence) <= 256
        assert ENGLISH.note(sentence) == sentence
        assert not any(each.words in KOREAN.note(sentence) for each in ATTRIBUTES.values() if " " in each.words)
        assert KOREAN.note(sentence) != sentence
    assert KOREAN.note(outside.sentences[0]) == "검증 범위를 벗어남: 절편 두께 5 mm, 검증된 범위 0.5~2 mm."


T1_ONLY = EnvelopeLimit("SliceThickness", minimum=0.5, maximum=2.0, role="t1")
THICK_T1 = "Outside of what this was validated on: the slice thickness (t1) is 5 mm; it was validated from 0.5 to 2 mm."


@pytest.mark.parametrize(
    ("roles", "sentences"),
    [(("t1", "flair"), (THICK_T1,)), (("flair", "t1"), ()), (("flair", "flair"), ()), ((), ())],
    ids=["T1 is thick", "FLAIR is", "there is no T1", "no roles"],
)
def test_a_limit_of_a_role_is_for_its_images_alone(roles: tuple[str, ...], sentences: tuple[str, ...]) -> None:
    """The first image is thick, the second one thin; the sentence names the role."""
    headers = [ct(SliceThickness=("DS", 5.0)), ct(SliceThickness=("DS", 1.0))]
    assert envelope.of_headers((T1_ONLY,), DEFAULT, headers, roles).sentences == sentences


def test_the_role_is_named_in_korean_too() -> None:
    """The attribute in the language of the reader, the role as the rule calls it."""
    assert "절편 두께 (t1)" in KOREAN.note(THICK_T1)
    assert ENGLISH.note(THICK_T1) == THICK_T1
