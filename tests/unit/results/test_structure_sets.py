"""Segmentations as RT Structure Set: the outlines give the mask back, where it was, and each side its own."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from pydicom import Dataset, dcmread

from node.config.encoding import EncodingProfile
from node.results.encode import encode
from node.results.maps.outlines import outlines
from plugins.contract import ImageReference, Segmentation
from tests.support.results import reports

KINDS = frozenset({"sr", "sc", "seg", "rtstruct"})
PROFILE = EncodingProfile.model_validate({"kinds": KINDS})


def filled(polygons: Sequence[NDArray[np.int64]], shape: tuple[int, int]) -> NDArray[np.int64]:
    """How many of the polygons each pixel's centre is in, by the even-odd rule."""
    count = np.zeros(shape, np.int64)
    centres = np.arange(shape[1]) + 0.5
    for polygon in polygons:
        ends = list(zip(polygon.tolist(), np.roll(polygon, -1, axis=0).tolist(), strict=True))
        for row in range(shape[0]):
            crossed = [_at(a, b, row + 0.5) for a, b in ends if (a[1] > row + 0.5) != (b[1] > row + 0.5)]
            count[row] += np.sum([each < centres for each in crossed], axis=0, dtype=np.int64) % 2 if crossed else 0
    return count


def _at(a: Sequence[int], b: Sequence[int], y: float) -> float:
    return a[0] + (y - a[1]) / (b[1] - a[1]) * (b[0] - a[0])


@pytest.mark.parametrize("most", [10_000, 12])
@pytest.mark.parametrize("seed", range(40))
def test_outlines_give_each_pixel_back_once(seed: int, most: int) -> None:
    """Noise has every hole, corner and island; a reader that unites contours agrees with one that XORs them."""
    chance = np.random.default_rng(seed)
    mask = chance.random((chance.integers(1, 14), chance.integers(1, 14))) < chance.random()
    polygons = outlines(mask, most)
    np.testing.assert_array_equal(filled(polygons, mask.shape), mask)


def test_a_contour_is_never_longer_than_it_may_be() -> None:
    """A comb of many teeth is cut in halves until each part has few enough corners."""
    mask = np.zeros((40, 80), bool)
    mask[20:] = mask[:, ::2] = True
    polygons = outlines(mask, 50)
    assert max(map(len, polygons)) <= 50
    np.testing.assert_array_equal(filled(polygons, mask.shape), mask)


def _holed(frames: Sequence[ImageReference]) -> Segmentation:
    """Right and left lung with holes, an island in a hole, and parts that touch at a corner."""
    given = reports.lungs(frames)
    labels = np.stack(given.planes)
    labels[:, 20:30, 10:16] = 0
    labels[:, 24, 12], labels[0, 50, 28] = 1, 1
    labels[1, 15:18, 40:44] = labels[2, 40, 36:50] = 0
    return replace(given, labels=labels)


def _made(paths: Sequence[Path], frames: Sequence[ImageReference], folder: Path) -> tuple[Dataset, Segmentation]:
    segmentation = _holed(frames)
    result = replace(reports.segmented(frames), segmentation=segmentation)
    objects = encode(reports.request(paths, result, profile=PROFILE), folder)
    assert objects.reasons == ()
    (made,) = [dcmread(one.path) for one in objects if one.kind == "rtstruct"]
    return made, segmentation


def _mask_of(contours: Dataset, images: dict[str, Dataset], segmentation: Segmentation) -> NDArray[np.int64]:
    """As a reader of planning systems has it: by the image that each contour names, and the geometry of that image."""
    found = np.zeros((len(segmentation.frames), *segmentation.planes[0].shape), np.int64)
    order = {frame.sop_instance_uid: index for index, frame in enumerate(segmentation.frames)}
    for contour in contours.ContourSequence:
        uid = str(contour.ContourImageSequence[0].ReferencedSOPInstanceUID)
        image = images[uid]
        points = np.array(contour.ContourData, float).reshape(-1, 3) - np.array(image.ImagePositionPatient, float)
        row, column = np.array(image.ImageOrientationPatient, float).reshape(2, 3)
        spacing = [float(each) for each in image.PixelSpacing]
        across = np.abs(points @ np.cross(row, column)).max()
        assert across < 1e-3, "a contour lies in the plane of its image"
        pixels = np.stack([points @ row / spacing[1], points @ column / spacing[0]], axis=1) + 0.5
        np.testing.assert_allclose(pixels, np.round(pixels), atol=1e-3)
        found[order[uid]] += filled([np.round(pixels).astype(np.int64)], found.shape[1:])
    return found


TILTED = [0.8, 0.36, 0.48, -0.6, 0.48, 0.64]


def _tilted(dataset: Dataset, number: int) -> Dataset:
    """Oblique, with pixels that are not square and slices thicker than both."""
    row, column = np.array(TILTED).reshape(2, 3)
    dataset.ImageOrientationPatient, dataset.PixelSpacing, dataset.SliceThickness = TILTED, [0.9, 0.5], 3
    dataset.ImagePositionPatient = [float(f"{each:.6f}") for each in np.cross(row, column) * 3 * number + [-120, 31, 7]]
    return dataset


@pytest.mark.parametrize("change", [lambda dataset, _: dataset, _tilted], ids=["axial", "oblique and anisotropic"])
def test_each_roi_is_its_segment_voxel_for_voxel(change: Callable[[Dataset, int], Dataset], tmp_path: Path) -> None:
    """Also of oblique images; names, codes with their side, colours, and references are those of the segments."""
    given = [change(reports.ct(number), number) for number in (1, 2, 3)]
    paths = [reports.write(each, tmp_path / f"{number}.dcm") for number, each in enumerate(given)]
    frames = [ImageReference(str(each.SOPInstanceUID)) for each in given]
    made, segmentation = _made(paths, frames, tmp_path / "out")
    images = {str(each.SOPInstanceUID): each for each in given}
    for segment, region, contours, observation in zip(
        segmentation.segments,
        made.StructureSetROISequence,
        made.ROIContourSequence,
        made.RTROIObservationsSequence,
        strict=True,
    ):
        np.testing.assert_array_equal(
            _mask_of(contours, images, segmentation), np.stack(segmentation.planes) == segment.number
        )
        assert region.ROIName.endswith(segment.label)
        identified = observation.RTROIIdentificationCodeSequence[0]
        assert identified.CodeValue == segment.type.value
        if segment.site is not None and segment.site.laterality is not None:
            modifier = identified.SegmentedPropertyTypeModifierCodeSequence[0]
            assert modifier.CodeValue == segment.site.laterality.value
        assert len(contours.ROIDisplayColor) == 3
    (frame,) = made.ReferencedFrameOfReferenceSequence
    (series,) = frame.RTReferencedStudySequence[0].RTReferencedSeriesSequence
    assert {str(each.ReferencedSOPInstanceUID) for each in series.ContourImageSequence} <= images.keys()
    assert (made.ApprovalStatus, made.StructureSetLabel[:6]) == ("UNAPPROVED", "AI-INV")


def test_projections_have_no_structure_set_and_the_report_says_so(tmp_path: Path) -> None:
    """A mammogram has no frame of reference: the segmentation goes, the outlines are missing in words."""
    paths = reports.write_series("mg", tmp_path)
    result = reports.segmented(reports.frames("mg"))
    objects = encode(reports.request(paths, result, profile=PROFILE), tmp_path / "out")
    kinds = {one.kind for one in objects}
    assert "seg" in kinds
    assert "rtstruct" not in kinds
    assert any("no common frame of reference" in reason for reason in objects.reasons)
    (report,) = [one.path.read_bytes() for one in objects if one.kind == "sr"]
    assert b"could not be written as outlines" in report


def test_nobody_gets_outlines_who_does_not_ask_for_them(tmp_path: Path) -> None:
    """An archive that shows them as a series of their own gets none by default."""
    paths = reports.write_series("ct", tmp_path)
    objects = encode(reports.request(paths, reports.segmented(reports.frames("ct"))), tmp_path / "out")
    assert "rtstruct" not in {one.kind for one in objects}
