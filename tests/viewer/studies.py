"""Studies to look at: images with our results beside them, as the node would send them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom import Dataset, dcmread

from node.config.destinations import DicomDestination
from node.results.encode import encode
from node.results.encoded import EncodedObject
from plugins.contract import (
    Box,
    Code,
    Ellipse,
    Finding,
    ImageReference,
    Measurement,
    Point,
    Polygon,
    Polyline,
    Region,
    Result,
    ResultStatus,
    Score,
    Segment,
    Segmentation,
    Site,
    Unit,
)
from plugins.phantoms import chest_series
from plugins.phantoms.chest import Chest
from plugins.phantoms.chest_series import SeriesHeader
from tests.support.results import reports
from tests.support.sites.result_site import PACS

NAME = "Hong^Gildong=洪^吉洞=홍^길동"
HANGUL = "홍^길동"
"""As many Korean hospitals write it: in the first component group, the only one that OHIF shows."""
Points = NDArray[np.float64]


@dataclass(frozen=True)
class Study:
    """One study on disk; `image` is the one that the regions lie on."""

    images: list[Path]
    image: Dataset
    result: Result
    objects: tuple[EncodedObject, ...]

    @property
    def uid(self) -> str:
        return str(self.image.StudyInstanceUID)

    @property
    def files(self) -> list[Path]:
        return [*self.images, *(one.path for one in self.objects)]

    def kind(self, kind: str) -> list[Path]:
        """Our objects of one kind."""
        return [one.path for one in self.objects if one.kind == kind]

    @property
    def report(self) -> Dataset:
        return dcmread(self.kind("sr")[0])

    def pixels(self, seen: Sequence[Sequence[float]]) -> Points:
        """(n, 2) column, row (from the corner of the top-left pixel) of points that a viewer gives in mm.

        An image without a place in the patient has, for OHIF, its first pixel's centre at 0 and pixels of 1 mm.
        """
        corner, spacing = _corner_and_spacing(self.image)
        return np.asarray((np.asarray(seen, dtype=np.float64)[:, :2] - corner) / spacing)


def _corner_and_spacing(image: Dataset) -> tuple[Points, float]:
    """Corner of the top-left pixel (x, y) and size of a (square) pixel in mm; the slices here are axial."""
    spacing = float((image.get("PixelSpacing") or (1.0,))[0])
    position = [float(value) for value in image.get("ImagePositionPatient") or (0, 0, 0)]
    return np.array(position[:2]) - spacing / 2, spacing


def chest(folder: Path, patient: str, name: str = NAME, **changes: Any) -> list[Path]:
    """A CT of a few slices through the middle of the phantom, under a Korean name in ISO 2022 IR 149."""
    header = SeriesHeader(patient_name=name, patient_id=patient, character_set=chest_series.KOREAN)
    settings: dict[str, Any] = {
        "size": 256,
        "slice_mm": 4.0,
        "extent": (-40.0, 40.0),
        "vessels": True,
        "noise_hu": 12.0,
    } | changes
    return chest_series.write_series(Chest(**settings), folder, header)


def radiograph(folder: Path, patient: str, bright: tuple[int, int, int, int]) -> list[Path]:
    """A CR image, higher than wide, with a block of bright pixels: left, top, right, bottom."""
    image = reports.cr()
    image.PatientID, image.PatientName = patient, "Hong^Gildong"
    image.StudyInstanceUID = f"{reports.STUDY_UID}.7"
    image.SeriesInstanceUID, image.SOPInstanceUID = f"{image.StudyInstanceUID}.1", f"{image.StudyInstanceUID}.1.1"
    image.Rows, image.Columns = 480, 360
    pixels = np.full((480, 360), 300, dtype=np.uint16)
    pixels[bright[1] : bright[3], bright[0] : bright[2]] = 1000
    image.WindowCenter, image.WindowWidth = 500, 1000
    image.PixelData = pixels.tobytes()
    return [reports.write(image, folder / "1.dcm")]


def study(images: list[Path], result: Result, folder: Path, **destination: object) -> Study:
    """A result on these images, encoded as a destination with these settings gets it."""
    profile = DicomDestination.model_validate(PACS | destination).encoding
    image = dcmread(images[len(images) // 2], stop_before_pixels=True)
    job = f"viewer {image.StudyInstanceUID}"  # the UIDs of results derive from it
    return Study(images, image, result, encode(reports.request(images, result, profile=profile, job_id=job), folder))


# --- one finding of each form of region -----------------------------------------------------------------

LENGTH, AREA = Code("410668003", "SCT", "Length"), Code("42798000", "SCT", "Area")
FORMS: Mapping[str, Points] = {
    "point": np.array([70.5, 120.5]),
    "line": np.array([[60.0, 90.0], [90.0, 130.0]]),
    "box": np.array([[150.0, 100.0], [190.0, 145.0]]),
    "polygon": np.array([[60.0, 150.0], [100.0, 150.0], [95.0, 178.0], [80.0, 190.0], [62.0, 170.0]]),
    "ellipse": np.array([[170.0, 155.0], [170.0, 195.0], [157.0, 175.0], [183.0, 175.0]]),
    "circle": np.array([[205.0, 175.0], [229.0, 175.0], [217.0, 163.0], [217.0, 187.0]]),
}
"""(n, 2) column, row."""
_CLASSES: Mapping[str, type[Region]] = {
    "point": Point,
    "line": Polyline,
    "box": Box,
    "polygon": Polygon,
    "ellipse": Ellipse,
    "circle": Ellipse,
}


def regions(image: Dataset, *names: str, numbers: bool = True) -> Result:
    """A finding for each form, tracked under its name, with the true number (length or area) of its form."""
    pixel_mm = float((image.get("PixelSpacing") or (1.0,))[0])
    findings = []
    for name in names or FORMS:
        region = _CLASSES[name](FORMS[name], ImageReference(str(image.SOPInstanceUID)))
        findings.append(
            Finding(
                reports.NODULE,
                present=True,
                score=Score(0.875, 0.5) if name == "box" and numbers else None,
                site=Site(reports.LUNG),
                regions=(region,),
                measurements=_numbers(name, pixel_mm) if numbers else (),
                tracking_id=name,
                comment=f"AI {name}",
            )
        )
    return Result(ResultStatus.FINDINGS, f"{len(findings)} regions.", tuple(findings))


def in_the_patient(result: Result, image: Dataset) -> Result:
    """The same regions in patient coordinates; boxes, which lie on an image, are left out."""
    corner, spacing = _corner_and_spacing(image)
    z = float(image.ImagePositionPatient[2])
    findings = []
    for finding in result.findings:
        (region,) = finding.regions
        if not isinstance(region, Box):
            flat = region.points * spacing + corner
            points = np.column_stack([flat, np.full(len(flat), z)])
            placed = type(region)(points, frame_of_reference_uid=str(image.FrameOfReferenceUID))
            findings.append(replace(finding, regions=(placed,)))
    return replace(result, findings=tuple(findings))


def _numbers(name: str, pixel_mm: float) -> tuple[Measurement, ...]:
    if name == "point":
        return ()
    if name == "line":
        return (Measurement(LENGTH, 50.0 * pixel_mm, Unit("mm", "mm")),)
    return (Measurement(AREA, area_of(name) * pixel_mm**2, Unit("mm2", "mm2")),)


def area_of(name: str) -> float:
    """Pixels within an outline."""
    points = FORMS[name]
    if name == "box":
        return float(np.prod(points[1] - points[0]))
    if name == "polygon":
        (x, y), (next_x, next_y) = points.T, np.roll(points, -1, axis=0).T
        return float(abs((x * next_y - next_x * y).sum()) / 2)
    axes = np.linalg.norm(points[[0, 2]] - points[[1, 3]], axis=1)
    return float(np.pi * axes.prod() / 4)


ABSENT = Finding(reports.PNEUMOTHORAX, present=False, score=Score(0.03, 0.5))


def segmented(images: Sequence[Path]) -> Result:
    """A nodule that only a segment shows, and a pneumothorax that is absent."""
    frames = tuple(ImageReference(str(dcmread(path, stop_before_pixels=True).SOPInstanceUID)) for path in images)
    labels = np.zeros((len(frames), 256, 256), dtype=np.uint8)
    labels[:, 60:120, 60:120] = 1
    segment = Segment(1, "Nodule", reports.ABNORMALITY, reports.NODULE)
    nodule = Finding(reports.NODULE, present=True, segments=(1,), tracking_id="Nodule")
    segmentation = Segmentation(labels, frames, (segment,))
    return Result(ResultStatus.FINDINGS, "One nodule.", (nodule, ABSENT), segmentation=segmentation)


def under_one_uid(report: Path) -> None:
    """Give all groups of a report, in its place, the tracking UID of the first."""
    read = dcmread(report)
    uids = [
        item
        for holder in read.ContentSequence
        for group in holder.get("ContentSequence", ())
        for item in group.get("ContentSequence", ())
        if item.ValueType == "UIDREF" and item.ConceptNameCodeSequence[0].CodeValue == "112040"
    ]
    for item in uids:
        item.UID = uids[0].UID
    read.save_as(report)


def moved(report: Path, identifier: str, pixels: float) -> Path:
    """A copy of a report, in its place, in which one region lies so many columns farther right."""
    read = dcmread(report)
    groups = [
        group
        for item in read.ContentSequence
        if item.ValueType == "CONTAINER" and item.ConceptNameCodeSequence[0].CodeMeaning == "Imaging Measurements"
        for group in item.ContentSequence
    ]
    for group in groups:
        if str(group.ContentSequence[0].TextValue).endswith(identifier):
            _move(group, pixels)
    read.save_as(report)
    return report


def _move(item: Dataset, pixels: float) -> None:
    for child in item.get("ContentSequence", ()):
        if child.ValueType == "SCOORD":
            data = np.asarray(child.GraphicData).reshape(-1, 2)
            child.GraphicData = (data + np.array([pixels, 0])).ravel().tolist()
        _move(child, pixels)
