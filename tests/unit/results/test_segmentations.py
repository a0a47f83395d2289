"""Segmentations of images that are no volume: projections, clips, angiograms; what report and pages say of them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydicom import Dataset, dcmread

from node.config.encoding import EncodingProfile
from node.reading.as_result import as_result
from node.reading.reader import read_sr
from node.results.context import prepare
from node.results.encode import encode
from node.results.errors import NotEncodableError
from node.results.pages.canvas import REGION
from node.results.pages.key_slice import decode, key_slices
from plugins.contract import (
    ContractError,
    Finding,
    ImageReference,
    KeyImage,
    Result,
    ResultStatus,
    Segment,
    Segmentation,
)
from tests.support.programs.validators import dciodvfy
from tests.support.results import reports
from tests.support.results.matrix import masks_read_back

VIEWS = (("R", "CC", (64, 48)), ("L", "CC", (64, 48)), ("R", "MLO", (80, 56)), ("L", "MLO", (72, 40)))
"""Laterality, view, and rows × columns: views differ in size."""
MASS = Segment(3, "Mass", reports.ABNORMALITY, reports.NODULE, colour=(255, 0, 255))
CYST = Segment(5, "Cyst", reports.ABNORMALITY, reports.NODULE)


def _mammogram(folder: Path) -> list[Path]:
    """Four views; those of a side are a series."""
    paths = []
    for number, (side, view, (rows, columns)) in enumerate(VIEWS, start=1):
        image = reports.mg(number)
        image.ImageLaterality, image.ViewPosition = side, view
        image.PatientOrientation = ["P", "L"] if side == "R" else ["A", "R"]
        image.SeriesInstanceUID = f"{reports.STUDY_UID}.{'2' if side == 'R' else '3'}"
        image.Rows, image.Columns = rows, columns
        image.PixelData = bytes(rows * columns * 2)
        paths.append(reports.write(image, folder / f"{number}.dcm"))
    return paths


def _view(number: int) -> ImageReference:
    return ImageReference(f"{reports.STUDY_UID}.2.{number}")


def _mass_and_cyst() -> Result:
    """A mass on both views of the right breast, a cyst on one of the left, nothing on the fourth view."""
    labels = [np.zeros(size, dtype=np.uint8) for *_, size in VIEWS]
    labels[0][10:20, 5:15] = labels[2][40:52, 30:44] = 3
    labels[1][50:60, 20:30] = 5
    return Result(
        ResultStatus.FINDINGS,
        "A mass in the right breast, a cyst in the left.",
        (
            Finding(reports.NODULE, present=True, segments=(3,), tracking_id="Mass 1"),
            Finding(reports.NODULE, present=True, segments=(5,), tracking_id="Cyst 1"),
        ),
        segmentation=Segmentation(tuple(labels), tuple(_view(n) for n in (1, 2, 3, 4)), (MASS, CYST)),
    )


def _made(paths: list[Path], result: Result, folder: Path, **profile: Any) -> dict[str, list[Dataset]]:
    found: dict[str, list[Dataset]] = {}
    for one in encode(reports.request(paths, result, profile=EncodingProfile(**profile)), folder):
        found.setdefault(one.kind, []).append(dcmread(one.path))
    return found


def _groups(report: Dataset) -> list[dict[str, Any]]:
    """What each measurement group says of its segment: tracking UID, SEG, segments, source image and its frames."""
    (container,) = [item for item in report.ContentSequence if _name(item) == "126010"]
    found = []
    for group in container.ContentSequence:
        said: dict[str, Any] = {"template": group.ContentTemplateSequence[0].TemplateIdentifier}
        for item in group.ContentSequence:
            reference = item.ReferencedSOPSequence[0] if "ReferencedSOPSequence" in item else None
            if _name(item) == "112040":
                said["tracking"] = item.UID
            elif _name(item) in {"121191", "121214"}:
                said["seg"], said["segment"] = reference.ReferencedSOPInstanceUID, reference.ReferencedSegmentNumber
                assert "ReferencedFrameNumber" not in reference, "Table 10-3 allows one of both"  # type: ignore[operator]
            elif _name(item) == "121233":
                frames = reference.get("ReferencedFrameNumber", [])
                said["image"] = reference.ReferencedSOPInstanceUID
                said["frames"] = [int(frames)] if isinstance(frames, int | str) else [int(number) for number in frames]
        found.append(said)
    return found


def _name(item: Dataset) -> str:
    return str(item.ConceptNameCodeSequence[0].CodeValue)


# --- projections -----------------------------------------------------------------------------------


@pytest.mark.parametrize("form", ["binary", "label-map"])
def test_each_view_of_a_mammogram_has_its_mask_as_it_was_given(tmp_path: Path, form: str) -> None:
    """One SEG for each view with a label, of the view's size and about it alone; all SEGs are one series."""
    result = _mass_and_cyst()
    made = _made(_mammogram(tmp_path / "in"), result, tmp_path / "out", seg_form=form, kinds=frozenset({"seg", "sr"}))
    assert [str(seg.SourceImageSequence[0].ReferencedSOPInstanceUID)[-1] for seg in made["seg"]] == ["1", "2", "3"]
    assert [len(seg.SourceImageSequence) for seg in made["seg"]] == [1, 1, 1]
    assert [seg.InstanceNumber for seg in made["seg"]] == [1, 2, 3]
    assert len({seg.SeriesInstanceUID for seg in made["seg"]}) == 1
    assert not any("FrameOfReferenceUID" in seg for seg in made["seg"])
    assert [list(seg.PatientOrientation) for seg in made["seg"]] == [["P", "L"], ["A", "R"], ["P", "L"]]
    assert result.segmentation is not None
    read = masks_read_back(tmp_path.glob("out/seg-*.dcm"))
    assert set(read) == {_view(1), _view(2), _view(3)}
    for frame, plane in zip(result.segmentation.frames[:3], result.segmentation.planes[:3], strict=True):
        assert np.array_equal(read[frame] > 0, plane > 0)
    if form == "binary":
        assert [error for path in tmp_path.glob("out/*.dcm") for error in dciodvfy(path)] == []


def test_the_report_names_view_and_segment_of_each_mask(tmp_path: Path) -> None:
    """TID 1410 for each: the mass has a group for each of its views, with the SEG's tracking UID, one for both."""
    paths = _mammogram(tmp_path / "in")
    made = _made(paths, _mass_and_cyst(), tmp_path / "out", kinds=frozenset({"seg", "sr"}))
    right_cc, left_cc, right_mlo = made["seg"]
    groups = _groups(made["sr"][0])
    assert [group["template"] for group in groups] == ["1410"] * 3
    assert [group["seg"] for group in groups] == [seg.SOPInstanceUID for seg in (right_cc, right_mlo, left_cc)]
    assert [group["segment"] for group in groups] == [1, 1, 1]
    assert [group["image"] for group in groups] == [_view(n).sop_instance_uid for n in (1, 3, 2)]
    segments = [seg.SegmentSequence[0] for seg in (right_cc, right_mlo, left_cc)]
    assert [segment.SegmentLabel for segment in segments] == ["1 Mass", "1 Mass", "2 Cyst"]
    assert [group["tracking"] for group in groups] == [segment.TrackingUID for segment in segments]
    assert [segment.TrackingID for segment in segments] == ["Mass 1", "Mass 1", "Cyst 1"]
    read = as_result(read_sr(tmp_path / "out" / "sr-001.dcm"))["findings"]
    assert [finding["tracking_id"] for finding in read] == ["Mass 1", "Cyst 1"], "one finding again"


def test_each_mask_has_a_page_on_its_view(tmp_path: Path) -> None:
    """Every view with a mask is shown once, with the outline in the colour of findings where the mask is."""
    context = prepare(reports.request(_mammogram(tmp_path), _mass_and_cyst()))
    slices = [decode(context, key) for key in key_slices(context)]
    assert [one.key.image.reference.sop_instance_uid[-1] for one in slices] == ["1", "2", "3"]
    assert [one.segments[0].name for one in slices] == ["Mass", "Cyst", "Mass"]
    drawn = slices[2].draw((560, 800))  # ten pixels for one of the 80 × 56 of the right MLO view
    rows, columns = np.nonzero((drawn[:, :440] == REGION).all(axis=2))  # the number is right of it
    assert [rows.min() // 10, rows.max() // 10, columns.min() // 10, columns.max() // 10] == [40, 51, 30, 43]


def test_a_mask_on_an_image_that_is_shown_anyway_has_no_second_page(tmp_path: Path) -> None:
    """The plugin's own key image comes first, and shows the outline."""
    result = replace(_mass_and_cyst(), key_images=(KeyImage(_view(3), "Mass on MLO"),))
    context = prepare(reports.request(_mammogram(tmp_path), result))
    shown = [(key.image.reference.sop_instance_uid[-1], key.reason) for key in key_slices(context)]
    name = reports.NODULE.meaning
    assert shown == [("3", "Mass on MLO"), ("1", f"1 Mass 1: {name}"), ("2", f"2 Cyst 1: {name}")]


# --- frames ------------------------------------------------------------------------------------------


def _clip(kind: str, numbers: tuple[int, ...]) -> Result:
    """A mass on some frames, largest on the last of them."""
    labels = np.zeros((len(numbers), reports.ROWS, reports.COLUMNS), dtype=np.uint8)
    for index in range(len(numbers)):
        labels[index, 10 : 20 + index, 30:50] = 3
    frames = tuple(ImageReference(f"{reports.STUDY_UID}.2.1", number) for number in numbers)
    finding = Finding(reports.NODULE, present=True, segments=(3,), tracking_id="Mass 1")
    return Result(ResultStatus.FINDINGS, "A mass.", (finding,), segmentation=Segmentation(labels, frames, (MASS,)))


@pytest.mark.parametrize("kind", ["us", "xa"])
@pytest.mark.parametrize("form", ["binary", "label-map"])
def test_frames_of_a_clip_share_one_segmentation_that_names_them(tmp_path: Path, kind: str, form: str) -> None:
    """Frames 2 and 3: a frame of the SEG refers to its own, the report to both (TID 1411), a page shows the largest."""
    paths, result = reports.write_series(kind, tmp_path / "in"), _clip(kind, (2, 3))
    made = _made(paths, result, tmp_path / "out", seg_form=form, kinds=frozenset({"seg", "sr"}))
    (seg,) = made["seg"]
    sources = [item.DerivationImageSequence[0].SourceImageSequence[0] for item in seg.PerFrameFunctionalGroupsSequence]
    assert [source.ReferencedFrameNumber for source in sources] == [2, 3]
    assert "FrameOfReferenceUID" not in seg
    assert result.segmentation is not None
    read = masks_read_back(tmp_path.glob("out/seg-*.dcm"))
    for frame, plane in zip(result.segmentation.frames, result.segmentation.planes, strict=True):
        assert np.array_equal(read[frame] > 0, plane > 0)
    (group,) = _groups(made["sr"][0])
    assert group == {
        "template": "1411",
        "tracking": seg.SegmentSequence[-1].TrackingUID,  # before it the background, of a label map
        "seg": seg.SOPInstanceUID,
        "segment": 1,
        "image": f"{reports.STUDY_UID}.2.1",
        "frames": [2, 3],
    }
    (key,) = key_slices(prepare(reports.request(paths, result)))
    assert key.frame_number == 3


def test_one_frame_of_an_angiogram_is_a_planar_region(tmp_path: Path) -> None:
    """TID 1410 with the frame."""
    paths = reports.write_series("xa", tmp_path / "in")
    made = _made(paths, _clip("xa", (2,)), tmp_path / "out", kinds=frozenset({"seg", "sr"}))
    (group,) = _groups(made["sr"][0])
    assert (group["template"], group["frames"]) == ("1410", [2])


# --- what is no single volume, or empty ----------------------------------------------------------------


def test_volumes_of_two_frames_of_reference_are_two_series(tmp_path: Path) -> None:
    """A series has one frame of reference at most."""
    paths = reports.write_series("ct", tmp_path / "in", count=2)
    other = reports.ct(3)
    other.SeriesInstanceUID, other.FrameOfReferenceUID = f"{reports.STUDY_UID}.3", "1.2.840.99"
    paths.append(reports.write(other, tmp_path / "in" / "other.dcm"))
    made = _made(paths, reports.segmented(reports.frames("ct")), tmp_path / "out", kinds=frozenset({"seg", "sr"}))
    assert [(seg.FrameOfReferenceUID, len(seg.SourceImageSequence)) for seg in made["seg"]] == [
        (reports.FRAME_OF_REFERENCE, 2),
        ("1.2.840.99", 1),
    ]
    assert len({seg.SeriesInstanceUID for seg in made["seg"]}) == 2


def test_an_enhanced_image_of_two_stacks_that_tells_all_for_each_frame(tmp_path: Path) -> None:
    """Some makers share nothing between frames: a SEG for each direction, in its own plane, and nothing made up but a
    thickness that the source leaves out. Study attributes that are empty in the source stay out."""
    image = reports.enhanced_mr()
    image.StudyDescription = ""
    shared = image.SharedFunctionalGroupsSequence[0]
    del shared.PixelMeasuresSequence[0].SliceThickness
    for number, groups in enumerate(image.PerFrameFunctionalGroupsSequence):
        direction = Dataset()
        direction.ImageOrientationPatient = [1, 0, 0, 0, 1, 0] if number < 2 else [0, 1, 0, 0, 0, -1]
        groups.PixelMeasuresSequence, groups.PlaneOrientationSequence = shared.PixelMeasuresSequence, [direction]
    del shared.PixelMeasuresSequence, shared.PlaneOrientationSequence
    result = reports.segmented(reports.frames("enhanced-mr"))
    made = _made([reports.write(image, tmp_path / "1.dcm")], result, tmp_path / "out", kinds=frozenset({"seg", "sr"}))
    groups = [seg.SharedFunctionalGroupsSequence[0] for seg in made["seg"]]
    directions = [list(group.PlaneOrientationSequence[0].ImageOrientationPatient) for group in groups]
    assert directions == [[1, 0, 0, 0, 1, 0], [0, 1, 0, 0, 0, -1]]
    assert [group.PixelMeasuresSequence[0].SliceThickness for group in groups] == [1, 1]
    read = masks_read_back(tmp_path.glob("out/seg-*.dcm"))
    assert result.segmentation is not None
    for frame, plane in zip(result.segmentation.frames, result.segmentation.planes, strict=True):
        assert np.array_equal(read[frame], plane)
    assert [error for path in tmp_path.glob("out/*.dcm") for error in dciodvfy(path)] == []


def test_a_segment_without_a_pixel_is_named_and_not_referred_to(tmp_path: Path) -> None:
    """The SEG describes what it holds; the report says that the other is empty, and refers to no segment for it."""
    result = reports.segmented(reports.frames("ct"))
    assert result.segmentation is not None
    labels = np.where(np.stack(result.segmentation.planes) == 2, 0, np.stack(result.segmentation.planes))
    result = replace(result, segmentation=replace(result.segmentation, labels=labels.astype(np.uint8)))
    made = _made(reports.write_series("ct", tmp_path / "in"), result, tmp_path / "out", kinds=frozenset({"seg", "sr"}))
    assert [segment.SegmentLabel for segment in made["seg"][0].SegmentSequence] == ["Right lung"]
    texts = [str(item.TextValue) for item in made["sr"][0].ContentSequence[-1].ContentSequence if "TextValue" in item]
    assert "Segment Left lung (it is empty)" in texts
    assert ["segment" in group or "seg" in group for group in _groups(made["sr"][0])] == [True, False, True]


def test_a_mask_of_another_size_than_its_image_is_refused_by_name(tmp_path: Path) -> None:
    """Nothing is written."""
    result = _mass_and_cyst()
    assert result.segmentation is not None
    frames = (_view(3), *result.segmentation.frames[1:2])
    wrong = replace(result.segmentation, labels=tuple(result.segmentation.planes[:2]), frames=frames)
    request = reports.request(_mammogram(tmp_path / "in"), replace(result, segmentation=wrong))
    with pytest.raises(
        NotEncodableError, match=r"Segmentation.labels.*a plane is \(64, 48\), the image under it \(80, 56\)"
    ):
        encode(request, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_labels_of_several_images() -> None:
    """Arrays of one size are one label map; of several they stay apart; each has two dimensions and a frame."""
    same = Segmentation([np.zeros((4, 6), np.uint8)] * 2, (_view(1), _view(2)), (MASS,))  # type: ignore[arg-type] # a list will do
    assert isinstance(same.labels, np.ndarray)
    assert same.labels.shape == (2, 4, 6)
    apart = Segmentation((np.zeros((4, 6), np.uint8), np.zeros((5, 6), np.uint8)), (_view(1), _view(2)), (MASS,))
    assert [plane.shape for plane in apart.planes] == [(4, 6), (5, 6)]
    for labels, message in (
        (
            (np.zeros((4, 6), np.uint8), np.zeros((1, 5, 6), np.uint8)),
            r"expected \(rows, columns\), got shape \(1, 5, 6\)",
        ),
        ((np.zeros((4, 6), np.uint8), np.full((5, 6), 0.5)), "expected unsigned integers, got float64"),
        ((np.zeros((4, 6), np.uint8), np.full((5, 6), 9, np.uint8)), r"holds \[9\], which no segment describes"),
        ((np.zeros((4, 6), np.uint8),), "2 references for 1 slices"),
    ):
        with pytest.raises(ContractError, match=message):
            Segmentation(labels, (_view(1), _view(2)), (MASS,))
