"""The set of objects that one job sends: which, under which names, and always the same."""

from __future__ import annotations

import hashlib
import pickle
import subprocess
import sys
from datetime import datetime
from pathlib import Path

import numpy as np
import pytest
from pydicom import dcmread
from pydicom.uid import JPEGLSLossless

from node.config.encoding import EncodingProfile
from node.results.encode import encode
from node.results.encoded import EncodedObject
from node.results.errors import NotEncodableError
from plugins.contract import Box, Finding, ImageReference, Result, ResultStatus
from tests.support.results import reports


def _frames() -> list[ImageReference]:
    return [ImageReference(f"{reports.STUDY_UID}.2.{number}") for number in (1, 2, 3)]


def _encode(tmp_path: Path, result: Result, kind: str = "ct", **changes: object) -> tuple[EncodedObject, ...]:
    return encode(reports.request(reports.write_series(kind, tmp_path / "in"), result, **changes), tmp_path / "out")


@pytest.mark.parametrize(
    ("name", "kinds"),
    [
        ("measured", ["sc", "sr"]),
        ("nodule", ["sc", "ko", "sr"]),
        ("mapped", ["pm", "sc", "sc", "sc", "ko", "sr"]),
        ("illustrated", ["sc", "sc", "sr"]),
        ("no-findings", ["sc", "sr"]),
        ("failed", ["sc", "sr"]),
        ("not-applicable", ["sr"]),
    ],
)
def test_what_each_end_of_a_job_sends(tmp_path: Path, name: str, kinds: list[str]) -> None:
    """An SR for every end; pages for all but not applicable; pictures have pages of their own."""
    objects = _encode(tmp_path, reports.RESULTS[name](reports.reference("ct")))
    assert [made.kind for made in objects] == kinds


def test_the_profile_says_which_kinds_are_sent(tmp_path: Path) -> None:
    """A destination that wants the SR alone gets no reference to what it does not get."""
    objects = _encode(tmp_path, reports.segmented(_frames()), profile=EncodingProfile(kinds=frozenset({"sr"})))
    assert [made.kind for made in objects] == ["sr"]
    assert b"1.2.840.10008.5.1.4.1.1.66.4" not in objects[0].path.read_bytes()


def test_one_series_for_each_sop_class_with_stable_high_numbers(tmp_path: Path) -> None:
    """Series Numbers are above the base and differ by kind; Instance Numbers count."""
    objects = _encode(tmp_path, reports.segmented(_frames()))
    series = {made.kind: (made.series_instance_uid, made.series_number) for made in objects}
    assert len({uid for uid, _ in series.values()}) == len({number for _, number in series.values()}) == 3
    assert all(9000 <= number < 10000 for _, number in series.values())
    pages = [made.instance_number for made in objects if made.kind == "sc"]
    assert pages == list(range(1, len(pages) + 1))


def test_fault_55_encoding_twice_in_two_processes_gives_the_same_bytes(tmp_path: Path) -> None:
    """Equal requests give equal files, whatever the process, its hash seed and the hour."""
    paths = reports.write_series("ct", tmp_path / "in")
    request = reports.request(paths, reports.segmented(_frames()))
    (tmp_path / "request.pickle").write_bytes(pickle.dumps(request))
    program = (
        "import pickle, sys; from pathlib import Path; from node.results.encode import encode;"
        "encode(pickle.loads(Path(sys.argv[1]).read_bytes()), Path(sys.argv[2]))"
    )
    contents = []
    for seed in ("1", "2"):
        out = tmp_path / seed
        subprocess.run(
            [sys.executable, "-c", program, str(tmp_path / "request.pickle"), str(out)],
            check=True,
            cwd=Path(__file__).parents[3],
            env={"PYTHONHASHSEED": seed, "TZ": "Asia/Seoul" if seed == "1" else "America/New_York"},
        )
        contents.append({path.name: path.read_bytes() for path in sorted(out.iterdir())})
    assert contents[0] == contents[1]
    assert {"seg-001.dcm", "sc-001.dcm", "sr-001.dcm"} <= set(contents[0])


def test_uids_follow_job_and_profile(tmp_path: Path) -> None:
    """Another job or another profile never shares a SOP Instance UID; the study stays the study."""
    paths = reports.write_series("ct", tmp_path / "in")

    def uids(name: str, **changes: object) -> set[str]:
        made = encode(reports.request(paths, reports.measured(), **changes), tmp_path / name)
        assert {one.study_instance_uid for one in made} == {reports.STUDY_UID}
        assert all(hashlib.sha256(one.path.read_bytes()).hexdigest() == one.sha256 for one in made)
        return {one.sop_instance_uid for one in made}

    sets = [
        uids("a"),
        uids("b", job_id="job-2"),
        uids("c", profile=EncodingProfile(language="ko")),
        uids("d", profile=EncodingProfile(sr_class="enhanced")),
    ]
    assert len(set.union(*sets)) == sum(len(each) for each in sets)


def test_a_profile_has_one_digest_whatever_the_order_of_its_kinds() -> None:
    """Destinations with equal profiles share a set of objects."""
    assert (
        EncodingProfile().digest()
        == EncodingProfile(kinds=frozenset(("ko", "seg", "dicom", "pm", "sc", "sr"))).digest()
    )
    assert EncodingProfile().digest() != EncodingProfile(language="ko").digest()


def test_secondary_capture_attributes(tmp_path: Path) -> None:
    """The recipe for pages: derived from what, how, and nothing claimed that is not known."""
    objects = _encode(tmp_path, reports.mapped(reports.reference("ct")))
    summary, key, _ = (dcmread(made.path) for made in objects if made.kind == "sc")
    for page in (summary, key):
        assert (page.Modality, page.ConversionType, page.PlanarConfiguration, page.BitsStored) == ("OT", "WSD", 0, 8)
        assert (page.Columns, page.get("BurnedInAnnotation")) == (1024, None)
        assert "ImagePositionPatient" not in page
        assert page.RequestAttributesSequence[0].RequestedProcedureID == "RP1"
        assert page.file_meta.TransferSyntaxUID == JPEGLSLossless
    assert len(summary.SourceImageSequence) == 3
    assert not summary.PatientOrientation
    assert [i.ReferencedSOPInstanceUID for i in key.SourceImageSequence] == [reports.reference("ct").sop_instance_uid]
    assert list(key.PatientOrientation) == ["L", "P"]


def test_what_the_source_shows_or_lost_is_inherited(tmp_path: Path) -> None:
    """Burned-in text stays declared where the source's pixels are shown; `sc_modality: source` takes its modality."""
    image = reports.us()
    image.LossyImageCompression, image.LossyImageCompressionRatio = "01", 12
    image.LossyImageCompressionMethod = "ISO_10918_1"
    path = reports.write(image, tmp_path / "in.dcm")
    request = reports.request(
        [path], reports.nodule(reports.reference("us")), profile=EncodingProfile(sc_modality="source")
    )
    page = next(dcmread(made.path) for made in encode(request, tmp_path / "out") if made.kind == "sc")
    assert (page.BurnedInAnnotation, page.LossyImageCompression, page.Modality) == ("YES", "01", "US")


def test_a_reference_to_an_image_that_was_not_given_is_refused(tmp_path: Path) -> None:
    """Fault 73: a result about another image never becomes an object; nothing is written."""
    box = Box(np.array([[1.0, 1.0], [2.0, 2.0]]), ImageReference("1.2.3.4"))
    result = Result(ResultStatus.FINDINGS, "x", (Finding(reports.NODULE, present=True, regions=(box,)),))
    with pytest.raises(NotEncodableError, match=r"1\.2\.3\.4"):
        _encode(tmp_path, result)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("corner", "frame", "words"), [(64.5, 1, "outside the image of 64 columns"), (20.0, 2, "frame 2 .* which has 1")]
)
def test_a_region_beside_the_image_is_refused(tmp_path: Path, corner: float, frame: int, words: str) -> None:
    """Fault 73: coordinates or frames that the image does not have mean that the result is of another image."""
    image = ImageReference(reports.reference("ct").sop_instance_uid, frame)
    box = Box(np.array([[1.0, 1.0], [corner, 2.0]]), image)
    with pytest.raises(NotEncodableError, match=words):
        _encode(tmp_path, Result(ResultStatus.FINDINGS, "x", (Finding(reports.NODULE, present=True, regions=(box,)),)))


def test_the_error_survives_the_way_out_of_the_encoders_process() -> None:
    """It is raised in a child process and read in the node."""
    error = pickle.loads(pickle.dumps(NotEncodableError("PatientID", "empty")))
    assert (error.attribute, str(error)) == ("PatientID", "PatientID: empty")


def test_a_request_without_images_or_with_naive_times_is_refused(tmp_path: Path) -> None:
    """A mistake of the caller shows where it was made."""
    with pytest.raises(ValueError, match="sources"):
        reports.request([], reports.measured())
    with pytest.raises(ValueError, match="result_made_at"):
        reports.request([tmp_path], reports.measured(), result_made_at=datetime(2024, 1, 1))  # noqa: DTZ001 - the mistake under test


def test_a_slice_that_cannot_be_decoded_does_not_cost_the_result(tmp_path: Path) -> None:
    """Fault 44: the report goes out, and the page says that this image could not be shown."""
    image = reports.ct()
    image.PixelData = image.PixelData[: len(image.PixelData) // 2]
    path = reports.write(image, tmp_path / "in.dcm")
    objects = encode(reports.request([path], reports.nodule(reports.reference("ct"))), tmp_path / "out")
    assert [made.kind for made in objects] == ["sc", "ko", "sr"]
