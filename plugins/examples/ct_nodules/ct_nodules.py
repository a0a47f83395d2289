"""Solid lung nodules on chest CT: size, volume, growth since an earlier study. A teaching example: see README.md."""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from plugins import (
    Code,
    Finding,
    KeyImage,
    Measurement,
    NotApplicableError,
    Parameters,
    Result,
    ResultStatus,
    Segment,
    Segmentation,
    Series,
    Site,
    Study,
    Volume,
    codes,
)

CHANGE = Code(
    "VOLUME_CHANGE", "99PACSNODE", "Volume, change since the earlier study", (("ko", "이전 검사 대비 부피 변화"),)
)
DOUBLING_TIME = Code("VOLUME_DOUBLING_TIME", "99PACSNODE", "Volume doubling time", (("ko", "부피 배가 시간"),))

AIR_HU = -500.0
TISSUE_HU = -415.0
"""Half-way between lung (-860 HU) and a solid nodule (30 HU): a threshold there has no bias at a blurred edge."""
SMALLEST_LUNG_ML = 300.0
WALL_MM = 12.0
"""The outline of a lung is closed over gaps up to twice as wide: what sits on the wall belongs to the lung."""
CORE_MM = 2.0
"""A nodule has a core that is at least this deep. Thinner vessels have none."""
LEAST_COMPACT, MOST_ELONGATED = 0.8, 2.0
MOST_CONTINUED = 0.1
MOST_APART_MM = 15.0
"""Two nodules farther apart in the two studies are not the same one."""
NOTICE = "Teaching example, not a medical device."


@dataclass(frozen=True)
class Nodule:
    """One nodule: where it is in the volume, and how large."""

    mask: NDArray[np.bool_]
    centre: NDArray[np.float64]
    """mm from the middle of both lungs, so that two studies can be compared."""
    side: Code
    long_mm: float
    volume_mm3: float


class CTNodules:
    """Finds solid nodules on the current series, and compares them with those of the series of role `prior`."""

    def analyse(self, study: Study, parameters: Parameters) -> Result:
        """A finding and a segment for each nodule, largest first; `no_findings` where there is none."""
        current = [each for each in study.series if each.role != "prior"]
        earlier = [each for each in study.series if each.role == "prior"]
        if len(current) != 1:
            raise NotApplicableError(f"{len(current)} series were handed over; nodules are looked for on one.")
        volume = read(current[0], parameters)
        nodules = find(volume, parameters)
        before, said = compare_with(current[0], earlier, parameters)
        return result(volume, nodules, before, said, parameters)


# --- finding -----------------------------------------------------------------------------------------


def read(series: Series, parameters: Parameters) -> Volume:
    """The voxels, if these are the images that the method is for."""
    header = series.headers()[0]
    if header.get("Modality") != "CT":
        raise NotApplicableError("The images are not CT.")
    thickness = float(header.get("SliceThickness") or 0)
    volume = series.volume()
    if max(thickness, volume.spacing[0]) > parameters["maximum_slice_mm"]:
        raise NotApplicableError(
            f"The slices are {max(thickness, volume.spacing[0]):g} mm thick: too thick for nodules."
        )
    if abs(volume.affine[2, 2]) < 0.9 * np.linalg.norm(volume.affine[:3, 2]):
        raise NotApplicableError("The slices are not axial.")
    return volume


def lungs(volume: Volume) -> NDArray[np.bool_]:
    """Both lungs with what is in them and on their walls."""
    labels, _ = ndimage.label(volume.array < AIR_HU)
    sizes = np.bincount(labels.ravel()) * volume.voxel_volume
    outside = np.unique(np.concatenate([labels[:, (0, -1)].ravel(), labels[:, :, (0, -1)].ravel()]))
    sizes[outside] = sizes[0] = 0
    air = np.isin(labels, np.flatnonzero(sizes >= SMALLEST_LUNG_ML))
    if not air.any():
        raise NotApplicableError("No lung was found.")
    box = ndimage.find_objects(air.astype(np.uint8))[0]
    closed = np.array(air)
    closed[box] |= np.stack([close(plane, volume.spacing[1:]) for plane in air[box]])
    return closed


def close(plane: NDArray[np.bool_], spacing: tuple[float, float]) -> NDArray[np.bool_]:
    """Fill holes, and what a circle of WALL_MM cannot enter from outside (morphological closing, by distances)."""
    margin = int(WALL_MM / min(spacing)) + 2
    padded = np.pad(plane, margin)
    if not plane.any():
        return plane
    grown = ndimage.distance_transform_edt(~padded, sampling=spacing) <= WALL_MM
    shrunk = ndimage.distance_transform_edt(grown, sampling=spacing) > WALL_MM
    return np.asarray(ndimage.binary_fill_holes(shrunk[margin:-margin, margin:-margin]))


def find(volume: Volume, parameters: Parameters) -> list[Nodule]:
    """The nodules, largest first."""
    inside = lungs(volume)
    x = volume.affine[0, 0] * np.flatnonzero(inside.any(axis=(0, 1))) + volume.affine[0, 3]
    middle = np.array([(x.min() + x.max()) / 2, *position(volume, inside)[1:]])
    dense = inside & (volume.array > TISSUE_HU)
    cores, _ = ndimage.label(ndimage.distance_transform_edt(dense, sampling=volume.spacing) > CORE_MM)
    found = []
    for number, core_box in enumerate(ndimage.find_objects(cores), start=1):
        margin = [int(2 * CORE_MM / step) + 2 for step in volume.spacing]
        box = tuple(slice(max(0, s.start - m), s.stop + m) for s, m in zip(core_box, margin, strict=True))
        part = grow(cores[box] == number, dense[box], volume.spacing)
        if not is_blob(part, dense[box], volume.spacing):
            continue
        mask = np.zeros(dense.shape, np.bool_)
        mask[box] = part
        long_mm = volume.diameters(mask).long_mm
        if long_mm >= parameters["minimum_diameter_mm"]:
            centre = position(volume, mask) - middle
            side = codes.LEFT if centre[0] > 0 else codes.RIGHT  # x grows to the patient's left (LPS)
            found.append(Nodule(mask, centre, side, long_mm, float(part.sum()) * volume.voxel_volume * 1000))
    return sorted(found, key=lambda nodule: -nodule.volume_mm3)


def position(volume: Volume, mask: NDArray[np.bool_]) -> NDArray[np.float64]:
    """The middle of a mask in the patient, mm (LPS)."""
    z, y, x = ndimage.center_of_mass(mask)
    return np.asarray((volume.affine @ (x, y, z, 1.0))[:3])


def grow(core: NDArray[np.bool_], dense: NDArray[np.bool_], spacing: tuple[float, ...]) -> NDArray[np.bool_]:
    """The core with what is around it up to its surface, but not along the vessels that lead to it."""
    away = ndimage.distance_transform_edt(~core, sampling=spacing)
    return np.asarray(dense & (away <= CORE_MM + 0.75 * max(spacing)))


def is_blob(part: NDArray[np.bool_], dense: NDArray[np.bool_], spacing: tuple[float, ...]) -> bool:
    """Whether it fills its own ellipsoid, and does not go on as a vessel does."""
    points = np.argwhere(part) * spacing
    if len(points) < 8:
        return False
    moments = np.maximum(np.linalg.eigvalsh(np.cov(points.T)), 1e-6)
    half_axes = np.sqrt(5 * moments)  # of an ellipsoid with these moments
    filled = part.sum() * math.prod(spacing) / (4 / 3 * math.pi * math.prod(half_axes))
    around = ndimage.binary_dilation(part) & ~part
    round_enough = filled >= LEAST_COMPACT and half_axes[-1] <= MOST_ELONGATED * half_axes[0]
    return bool(round_enough and (around & dense).sum() <= MOST_CONTINUED * around.sum())


# --- comparing ---------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Before:
    """The nodules of the earlier study, and how many days ago it was."""

    nodules: list[Nodule]
    days: int


def compare_with(current: Series, earlier: list[Series], parameters: Parameters) -> tuple[Before | None, str]:
    """The earlier nodules; or None, and in words why nothing is compared."""
    if not earlier:
        return None, "Not compared: no earlier study was handed over."
    new, old = current.headers()[0], earlier[-1].headers()[0]
    if differs := why_not_comparable(new, old):
        return None, f"Not comparable with the earlier study: {differs}."
    days = (date_of(new) - date_of(old)).days
    try:
        return Before(
            find(read(earlier[-1], parameters), parameters), days
        ), f"Compared with the study {days} days earlier."
    except NotApplicableError as reason:  # what is wrong with it must not cost today's result
        return None, f"Not comparable with the earlier study: {reason}"


def why_not_comparable(new: Any, old: Any) -> str:
    """What makes volumes of two studies differ although nothing has grown; empty where there is nothing of it."""
    if new.get("PatientID") != old.get("PatientID"):
        return "it is another patient's"
    for keyword, name in (("ConvolutionKernel", "kernel"), ("SliceThickness", "slice thickness")):
        if not new.get(keyword) or new.get(keyword) != old.get(keyword):
            return f"{name} {old.get(keyword) or 'not stated'} then, {new.get(keyword) or 'not stated'} now"
    if not (new.get("StudyDate") and old.get("StudyDate")) or date_of(old) >= date_of(new):
        return "it has no earlier study date"
    return ""


def date_of(header: Any) -> datetime:
    """The study date. The node moves all dates of a patient by the same number of days."""
    return datetime.strptime(header.StudyDate, "%Y%m%d")  # noqa: DTZ007 - only differences are used


def same_before(nodule: Nodule, before: Before | None, now: list[Nodule]) -> Nodule | None:
    """The earlier nodule at the same place, if each is the other's nearest one."""
    if before is None or not before.nodules:
        return None
    old = min(before.nodules, key=lambda each: distance(each, nodule))
    nearest = min(now, key=lambda each: distance(each, old))
    return old if nearest is nodule and distance(old, nodule) <= MOST_APART_MM else None


def distance(one: Nodule, other: Nodule) -> float:
    """mm between the middles of two nodules."""
    return float(np.linalg.norm(one.centre - other.centre))


def doubling_time(before_mm3: float, now_mm3: float, days: int) -> float:
    """Days in which the volume doubles at this rate: days · ln 2 / ln(now / before) (Schwartz 1961)."""
    return days * math.log(2) / math.log(now_mm3 / before_mm3)


# --- saying it ---------------------------------------------------------------------------------------


def result(volume: Volume, nodules: list[Nodule], before: Before | None, said: str, parameters: Parameters) -> Result:
    """What the node makes a report, pages and a segmentation of."""
    if not nodules:
        absent = Finding(codes.NODULE, present=False, site=Site(codes.LUNG))
        summary = f"No solid nodule of {parameters['minimum_diameter_mm']:g} mm or more. {said} {NOTICE}"
        return Result(ResultStatus.NO_FINDINGS, summary, (absent,), quality=(said,))
    labels = np.zeros(volume.array.shape, np.uint16)
    findings, segments = [], []
    for number, nodule in enumerate(nodules, start=1):
        labels[nodule.mask] = number
        old = same_before(nodule, before, nodules)
        findings.append(finding(number, volume, nodule, old, before, parameters))
        segments.append(
            Segment(number, f"Nodule {number}", codes.ABNORMAL_STRUCTURE, codes.NODULE, Site(codes.LUNG, nodule.side))
        )
    largest = nodules[0]
    growing = [f"Nodule {n} {each.comment}" for n, each in enumerate(findings, start=1) if "growing" in each.comment]
    many = f"{len(nodules)} solid nodules, the largest" if len(nodules) > 1 else "A solid nodule"
    where = (
        f"{many} in the {largest.side.meaning.lower()} lung: {largest.long_mm:.1f} mm, {largest.volume_mm3:.0f} mm³."
    )
    slice_of_largest = volume.diameters(largest.mask).slice_index
    return Result(
        ResultStatus.FINDINGS,
        " ".join((where, said, *growing[:3], NOTICE)),
        tuple(findings),
        segmentation=Segmentation(labels, volume.frames, tuple(segments)),
        key_images=(KeyImage(volume.frame(slice_of_largest), "The largest nodule", (-600.0, 1500.0)),),
        quality=() if before else (said,),
    )


def finding(
    number: int, volume: Volume, nodule: Nodule, old: Nodule | None, before: Before | None, parameters: Parameters
) -> Finding:
    """One nodule with its numbers; those about growth only where there is something to compare with."""
    size = volume.diameters(nodule.mask)
    numbers = [
        Measurement(codes.LONG_AXIS, round(size.long_mm, 1), codes.MILLIMETER, decimals=1),
        Measurement(codes.SHORT_AXIS, round(size.short_mm, 1), codes.MILLIMETER, decimals=1),
        Measurement(codes.VOLUME, round(nodule.volume_mm3), codes.CUBIC_MILLIMETER, decimals=0),
    ]
    comment = "was not found in the earlier study." if before else ""
    if before and old:
        change = 100 * (nodule.volume_mm3 / old.volume_mm3 - 1) + 0.0
        numbers.append(Measurement(CHANGE, round(change), codes.PERCENT, decimals=0))
        comment = f"is stable: {abs(change):.0f} % in {before.days} days is within what measuring alone may change."
        if abs(change) >= parameters["growth_percent"]:
            sizes = f"{old.volume_mm3:.0f} to {nodule.volume_mm3:.0f} mm³ ({change:+.0f} %)"
            comment = f"is {'growing' if change > 0 else 'shrinking'}: {sizes} in {before.days} days."
        if change >= parameters["growth_percent"]:
            time = doubling_time(old.volume_mm3, nodule.volume_mm3, before.days)
            numbers.append(Measurement(DOUBLING_TIME, round(time), codes.DAY, decimals=0))
    return Finding(
        codes.NODULE,
        present=True,
        site=Site(codes.LUNG, nodule.side),
        measurements=tuple(numbers),
        regions=(size.long_axis,),
        segments=(number,),
        tracking_id=f"Nodule {number}",
        comment=comment,
    )
