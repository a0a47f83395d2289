"""Intracranial hemorrhage on head CT without contrast: where, how much, urgent. A teaching example: see README.md."""

from __future__ import annotations

from dataclasses import dataclass

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

BONE_HU = 300.0
BRAIN_HU = (-20.0, 100.0)
HEAD_ML = (600.0, 2200.0)
"""Volume within the skull: of a child of one year to a large adult. Less is a part of a head, or something else."""
RIM_MM = 4.0
"""Next to bone a voxel is part bone: as dense as blood, and not looked at."""
SMOOTH_MM = 1.5
BOTH_SIDES = 0.2
"""A bleed with at least this share on the other side of the midline is on both sides."""
NOTICE = "Teaching example, not a medical device."


@dataclass(frozen=True)
class BleedRegion:
    """One bleed."""

    mask: NDArray[np.bool_]
    ml: float
    hu: float
    side: Code


class HeadCTTriage:
    """Looks for fresh blood within the skull on one series without contrast."""

    def analyse(self, study: Study, parameters: Parameters) -> Result:
        """One urgent finding and one segment for each bleed, largest first; `no_findings` where there is none."""
        if len(study.series) != 1:
            raise NotApplicableError(f"{len(study.series)} series were handed over; one is looked at.")
        volume = read(study.series[0], parameters)
        brain = within_skull(volume)
        refuse_noise(volume, brain, parameters["maximum_noise_hu"])
        return result(volume, find(volume, brain, parameters), parameters)


# --- for which images it is not ------------------------------------------------------------------------


def read(series: Series, parameters: Parameters) -> Volume:
    """The voxels of axial slices without contrast; `volume()` itself refuses a tilted gantry and missing slices."""
    for header in series.headers():
        if header.get("Modality") != "CT":
            raise NotApplicableError("The images are not CT.")
        if str(header.get("ContrastBolusAgent") or "").strip():
            raise NotApplicableError("Contrast medium was given: what is bright need not be blood.")
        if abs(float(header.get("GantryDetectorTilt") or 0)) > 0.5:
            raise NotApplicableError(f"The gantry was tilted by {float(header.GantryDetectorTilt):g} degrees.")
    volume = series.volume()
    if volume.spacing[0] > parameters["maximum_slice_mm"]:
        raise NotApplicableError(f"The slices are {volume.spacing[0]:g} mm apart: too thick.")
    if abs(volume.affine[2, 2]) < 0.9 * np.linalg.norm(volume.affine[:3, 2]):
        raise NotApplicableError("The slices are not axial.")
    return volume


def within_skull(volume: Volume) -> NDArray[np.bool_]:
    """What bone encloses on its slice, without a rim beside the bone."""
    bone = volume.array > BONE_HU
    enclosed = np.stack([ndimage.binary_fill_holes(plane) for plane in bone]) & ~bone
    soft = (volume.array > BRAIN_HU[0]) & (volume.array < BRAIN_HU[1])
    labels, count = ndimage.label(enclosed & soft)
    if count == 0:
        raise NotApplicableError("No skull was found: not a head.")
    inside = ndimage.binary_fill_holes(labels == np.bincount(labels.ravel())[1:].argmax() + 1)
    ml = float(inside.sum()) * volume.voxel_volume
    if not HEAD_ML[0] <= ml <= HEAD_ML[1]:
        raise NotApplicableError(f"Bone encloses {ml:.0f} mL: not a head, or only a part of one.")
    return np.asarray(ndimage.distance_transform_edt(inside, sampling=volume.spacing) > RIM_MM)


def refuse_noise(volume: Volume, brain: NDArray[np.bool_], most: float) -> None:
    """Noise from the differences of neighbouring pixels: tissue hardly changes from one to the next."""
    both = brain[:, :, 1:] & brain[:, :, :-1]
    steps = np.abs(np.diff(volume.array, axis=2)[both])
    noise = float(np.median(steps)) / 0.6745 / np.sqrt(2)
    if noise > most:
        raise NotApplicableError(f"The noise in the brain is {noise:.0f} HU: a series for bone, or too little dose.")


# --- finding -------------------------------------------------------------------------------------------


def find(volume: Volume, brain: NDArray[np.bool_], parameters: Parameters) -> list[BleedRegion]:
    """The bleeds, largest first."""
    smooth = ndimage.gaussian_filter(volume.array, [SMOOTH_MM / step for step in volume.spacing])
    labels, _ = ndimage.label(brain & (smooth > parameters["blood_hu"]) & (smooth < BRAIN_HU[1]))
    sizes = np.bincount(labels.ravel())[1:] * volume.voxel_volume
    middle = float(np.mean(across(volume, brain)))
    found = []
    for index in np.flatnonzero(sizes >= parameters["minimum_ml"]):
        mask = labels == index + 1
        left = float(np.mean(across(volume, mask) > middle))  # x grows to the patient's left (LPS)
        side = codes.BOTH if BOTH_SIDES <= left <= 1 - BOTH_SIDES else codes.LEFT if left > 0.5 else codes.RIGHT
        found.append(BleedRegion(mask, float(sizes[index]), float(volume.array[mask].mean()), side))
    return sorted(found, key=lambda bleed: -bleed.ml)


def across(volume: Volume, mask: NDArray[np.bool_]) -> NDArray[np.float64]:
    """x of each voxel of a mask, mm."""
    z, y, x = np.nonzero(mask)
    return np.asarray(volume.affine[0, :3] @ (x, y, z) + volume.affine[0, 3])


# --- saying it -----------------------------------------------------------------------------------------


def result(volume: Volume, bleeds: list[BleedRegion], parameters: Parameters) -> Result:
    """What the node makes a report, pages, a segmentation and notifications of."""
    if not bleeds:
        absent = Finding(codes.INTRACRANIAL_HEMORRHAGE, present=False, site=Site(codes.HEAD))
        summary = f"No hyperdense bleed of {parameters['minimum_ml']:g} mL or more within the skull. {NOTICE}"
        return Result(ResultStatus.NO_FINDINGS, summary, (absent,))
    labels = np.zeros(volume.array.shape, np.uint16)
    for number, bleed in enumerate(bleeds, start=1):
        labels[bleed.mask] = number
    sites = [Site(codes.BRAIN, bleed.side) for bleed in bleeds]
    largest = bleeds[0]
    thickest = int(largest.mask.sum(axis=(1, 2)).argmax())
    return Result(
        ResultStatus.FINDINGS,
        f"Hyperdense bleed within the skull, {largest.side.meaning.lower()}, {largest.ml:.1f} mL"
        f"{f'; {len(bleeds) - 1} more' if len(bleeds) > 1 else ''}. {NOTICE}",
        tuple(finding(number, volume, bleed) for number, bleed in enumerate(bleeds, start=1)),
        segmentation=Segmentation(
            labels,
            volume.frames,
            tuple(
                Segment(number, f"Bleed {number}", codes.ABNORMAL_STRUCTURE, codes.INTRACRANIAL_HEMORRHAGE, site)
                for number, site in enumerate(sites, start=1)
            ),
        ),
        key_images=(KeyImage(volume.frame(thickest), "The largest bleed", (40.0, 80.0)),),
    )


def finding(number: int, volume: Volume, bleed: BleedRegion) -> Finding:
    """One bleed: urgent, so that the rule can notify people and the report is sent first."""
    return Finding(
        codes.INTRACRANIAL_HEMORRHAGE,
        present=True,
        urgent=True,
        site=Site(codes.BRAIN, bleed.side),
        measurements=(
            Measurement(codes.VOLUME, round(bleed.ml, 1), codes.MILLILITER, decimals=1),
            Measurement(codes.ATTENUATION, round(bleed.hu), codes.HOUNSFIELD, derivation=codes.MEAN, decimals=0),
        ),
        regions=(volume.bounding_box(bleed.mask).box,),
        segments=(number,),
        tracking_id=f"Bleed {number}",
    )
