"""Real forms of untidy sources, each through every kind of object: the result leaves, and what was changed is told."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from pydicom import Dataset, dcmread

from node.config.encoding import EncodingProfile
from node.results.encoded import EncodedSet
from plugins import imaging
from tests.support.results import reports

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")
Change = Callable[[Dataset, int], None]


def made(folder: Path, kind: str, change: Change, kinds: set[str]) -> EncodedSet:
    """The objects of a result on three changed images of a kind; the gate has judged them, none is missing."""
    paths = []
    for number in (1, 2, 3):
        image = reports.SOURCES[kind](number)
        change(image, number)
        paths.append(reports.write(image, folder / "in" / f"{number}.dcm"))
        if kind in reports.MULTI_FRAME:
            break
    result = reports.mapped(reports.reference(kind))
    if "seg" in kinds:
        segmented = reports.segmented(reports.frames(kind))
        findings = (*segmented.findings, *result.findings)
        result = type(result)(
            result.status,
            result.summary,
            findings,
            segmentation=segmented.segmentation,
            heatmaps=result.heatmaps,
            key_images=result.key_images,
        )
    profile = EncodingProfile(kinds=frozenset(kinds))  # type: ignore[arg-type] # of the test's own words
    return reports.whole(reports.request(paths, result, profile=profile), folder / "out")


def _raw(folder: Path, keyword: str, raw: bytes, label: str | None) -> Path:
    """A CT whose text is exactly these bytes under this character set."""
    image = reports.ct()
    marker = "Q" * (len(raw) + len(raw) % 2)
    setattr(image, keyword, marker)
    if label is None:
        del image.SpecificCharacterSet
    else:
        image.SpecificCharacterSet = label
    path = reports.write(image, folder / "in.dcm")
    path.write_bytes(path.read_bytes().replace(marker.encode(), raw + b" " * (len(raw) % 2)))
    return path


@pytest.mark.parametrize(
    "keyword", ["StudyDescription", "ReferringPhysicianName", "PatientComments", "PhysiciansOfRecord"]
)
@pytest.mark.parametrize(
    ("raw", "label"),
    [
        ("흉부 CT".encode("euc_kr"), None),
        ("Müller".encode("latin-1"), "ISO_IR 192"),
        ("흉부 CT 흉부".encode()[:-1], "ISO_IR 192"),
        ("흉부 CT".encode("utf-16-le"), "ISO_IR 192"),
        (bytes(range(0x80, 0xA0)), "ISO_IR 100"),
        ("胸部".encode("shift_jis"), "ISO_IR 192"),
    ],
)
def test_finding_s4_text_that_describes_and_cannot_be_decoded_costs_no_result(
    tmp_path: Path, keyword: str, raw: bytes, label: str | None
) -> None:
    """Shortened or left out, recorded under its name and without its value; never a replacement character."""
    request = reports.request(
        [_raw(tmp_path, keyword, raw, label)], reports.failed(), profile=EncodingProfile(kinds=frozenset({"sr"}))
    )
    for each in reports.whole(request, tmp_path / "out"):
        assert "\ufffd" not in str(dcmread(each.path).get(keyword, ""))
        assert [change for change in each.changes if change.startswith(keyword)]


@pytest.mark.parametrize("offset", ["+9900", "+1460", "+0960", "-1300", "0900", "+09:00", "+9", "KST", "-0000"])
@pytest.mark.parametrize("kinds", [{"sr", "ko"}])
def test_finding_s6_a_time_zone_that_does_not_exist_is_left_out(tmp_path: Path, offset: str, kinds: set[str]) -> None:
    """The node's own is used for times, and the record says so; a real one is copied."""

    def change(image: Dataset, _: int) -> None:
        image.TimezoneOffsetFromUTC = offset

    for each in made(tmp_path, "ct", change, kinds):
        assert "TimezoneOffsetFromUTC" not in dcmread(each.path)
        assert [told for told in each.changes if told.startswith("TimezoneOffsetFromUTC")]


RETIRED = [
    ("us", "1.2.840.10008.5.1.4.1.1.6"),
    ("us", "1.2.840.10008.5.1.4.1.1.3"),
    ("xa", "1.2.840.10008.5.1.4.1.1.5"),
    ("xa", "1.2.840.10008.5.1.4.1.1.12.3"),
    ("ct", "1.2.840.10008.5.1.4.1.1.129"),
    ("dx", "1.2.840.10008.5.1.4.1.1.9"),
    ("mg", "1.2.840.10008.5.1.4.1.1.999.77"),
]


@pytest.mark.parametrize(("kind", "sop_class_uid"), RETIRED)
def test_finding_s7_retired_and_unknown_sop_classes_get_their_result(
    tmp_path: Path, kind: str, sop_class_uid: str
) -> None:
    """Every reference names the class that the image has, in every kind of object."""

    def change(image: Dataset, _: int) -> None:
        image.SOPClassUID = sop_class_uid

    for each in made(tmp_path, kind, change, {"sr", "seg", "ko", "pr"}):
        assert sop_class_uid in dcmread(each.path).to_json(), each.kind  # a segmentation is deflated


@pytest.mark.parametrize("size", [1e-8, 1e-6, 1e-4, 4e-4])
def test_finding_s11_a_volume_that_is_one_is_segmented(tmp_path: Path, size: float) -> None:
    """Orientations rounded differently from slice to slice: what `volume` takes, the encoder takes as one."""

    def change(image: Dataset, number: int) -> None:
        tilt = np.array([0.96, 0.28, 0, -0.28, 0.96, 0]) + size * np.array([1, -1, 1, -1, 1, 1]) * (number - 2)
        image.ImageOrientationPatient = [f"{value:.10g}" for value in tilt]

    objects = made(tmp_path, "ct", change, {"sr", "seg", "pm"})
    volume = imaging.volume(sorted((tmp_path / "in").glob("*.dcm")))
    assert len(volume.frames) == 3
    assert {each.kind for each in objects} == {"sr", "seg", "pm"}


@pytest.mark.parametrize("frame_of_reference", ["", None])
@pytest.mark.parametrize("kind", ["ct", "mr", "enhanced-ct", "pt"])
def test_finding_s12_without_a_frame_of_reference_what_can_leave_leaves(
    tmp_path: Path, kind: str, frame_of_reference: str | None
) -> None:
    """Empty or absent: report, segmentation and regions leave and are valid; a map has no place in the patient."""

    def change(image: Dataset, _: int) -> None:
        image.FrameOfReferenceUID = frame_of_reference
        if frame_of_reference is None:
            del image.FrameOfReferenceUID

    objects = made(tmp_path, kind, change, {"sr", "seg", "pm", "pr"})
    assert {each.kind for each in objects} == {"sr", "seg", "pr"}
