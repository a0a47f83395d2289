"""The plugin: checks, segmentation, numbers, pictures, in the order in which they are made."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import starmap

import numpy as np
from numpy.typing import NDArray

from plugins.contract import (
    Finding,
    KeyImage,
    Measurement,
    NotApplicableError,
    Parameters,
    Picture,
    Result,
    ResultStatus,
    Segment,
    Segmentation,
    Site,
    Study,
    Volume,
)
from plugins.lung_density import checks, codes, pictures
from plugins.lung_density.densitometry import Density, measure
from plugins.lung_density.orientation import AnatomicalView, anatomical
from plugins.lung_density.segmentation import LEFT, RIGHT, segment

SEGMENTS = (
    Segment(RIGHT, "Right lung", codes.ANATOMICAL_STRUCTURE, codes.RIGHT_LUNG, codes.RIGHT, (96, 200, 160)),
    Segment(LEFT, "Left lung", codes.ANATOMICAL_STRUCTURE, codes.LEFT_LUNG, codes.LEFT, (110, 170, 250)),
)
_LUNG_WINDOW = (-600.0, 1500.0)
_NOTICE = "Reference implementation for pilots, not a medical device."


@dataclass(frozen=True)
class _LungMeasurements:
    """All that is known before it is put into words."""

    view: AnatomicalView
    volume: Volume
    labels: NDArray[np.uint8]
    """On the axes of `view`."""
    right: Density
    left: Density
    both: Density
    quality: tuple[str, ...]


class LungDensity:
    """Lung densitometry on one chest CT series without contrast; see README.md for method and limits."""

    def analyse(self, study: Study, parameters: Parameters) -> Result:
        """One finding per lung and one for both, a segmentation, two pictures and their source images."""
        if len(study.series) != 1:
            raise NotApplicableError(f"{len(study.series)} series were handed over; lung density is measured on one.")
        series = study.series[0]
        headers = series.headers()
        if not headers:
            raise NotApplicableError("The series holds no images.")
        checks.refuse_headers(headers, parameters["maximum_slice_mm"])
        volume = series.volume()
        checks.refuse_thick(volume.spacing[0], parameters["maximum_slice_mm"])
        view = anatomical(volume)
        labels = segment(view).labels
        checks.refuse_cropped(labels)
        blood = checks.blood(view, labels)
        checks.refuse_blood(blood, parameters["maximum_blood_hu"], parameters["maximum_noise_hu"])
        right, left = view.array[labels == RIGHT], view.array[labels == LEFT]
        one, other = measure(right, volume.voxel_volume), measure(left, volume.voxel_volume)
        both = measure(np.concatenate((right, left)), volume.voxel_volume)
        share = min(one.volume_ml, other.volume_ml) / both.volume_ml
        quality = checks.notes(headers[0], volume.spacing[0], blood, both.mean_hu, share)
        return _result(_LungMeasurements(view, volume, labels, one, other, both, tuple(quality)))


def _result(measured: _LungMeasurements) -> Result:
    both = measured.both
    shown, key_images = _pictures(measured)
    return Result(
        status=ResultStatus.FINDINGS,
        summary=(
            f"Lung density of both lungs: LAA%-950 {both.laa950_percent:.1f} %, Perc15 {both.perc15_hu:.0f} HU, "
            f"mean {both.mean_hu:.0f} HU, volume {both.volume_ml / 1000:.2f} L. "
            f"LAA%-950 right {measured.right.laa950_percent:.1f} %, left {measured.left.laa950_percent:.1f} %. "
            f"{_NOTICE}"
        ),
        findings=tuple(
            starmap(
                _finding,
                (
                    ("Both lungs", both, codes.BOTH, (RIGHT, LEFT)),
                    ("Right lung", measured.right, codes.RIGHT, (RIGHT,)),
                    ("Left lung", measured.left, codes.LEFT, (LEFT,)),
                ),
            )
        ),
        segmentation=Segmentation(measured.view.back(measured.labels), measured.volume.frames, SEGMENTS),
        key_images=key_images,
        pictures=shown,
        quality=measured.quality,
    )


def _finding(name: str, density: Density, site: Site, segments: tuple[int, ...]) -> Finding:
    """Lung density is measured, it is neither present nor absent."""
    return Finding(
        code=codes.LUNG_DENSITY,
        site=site,
        measurements=(  # rounded: some viewers print the digits of an SR as they stand
            Measurement(codes.LAA_950, round(density.laa950_percent, 2), codes.PERCENT, decimals=1),
            Measurement(codes.LAA_910, round(density.laa910_percent, 2), codes.PERCENT, decimals=1),
            Measurement(codes.PERC_15, density.perc15_hu, codes.HOUNSFIELD, decimals=0),
            Measurement(
                codes.ATTENUATION, round(density.mean_hu, 1), codes.HOUNSFIELD, derivation=codes.MEAN, decimals=0
            ),
            Measurement(codes.VOLUME, round(density.volume_ml, 1), codes.MILLILITRE, decimals=0),
        ),
        segments=segments,
        tracking_id=name,
    )


def _pictures(measured: _LungMeasurements) -> tuple[tuple[Picture, ...], tuple[KeyImage, ...]]:
    view, labels = measured.view, measured.labels
    z, y = pictures.planes_of_interest(view, labels)
    source = measured.volume.frames[view.slice_index(z)]
    detail = f"LAA%-950 {measured.both.laa950_percent:.1f} %   Perc15 {measured.both.perc15_hu:.0f} HU"
    return (
        Picture(
            pictures.draw(pictures.coronal(view, labels, y), "Low attenuation, coronal", detail),
            "Coronal plane: lung below -950 HU red, -950 to -910 HU yellow; lungs outlined",
        ),
        Picture(
            pictures.draw(pictures.axial(view, labels, z), "Low attenuation, axial", detail),
            "Axial slice: lung below -950 HU red, -950 to -910 HU yellow; lungs outlined",
            sources=(source,),
        ),
    ), (KeyImage(source, "Slice with much low attenuation", _LUNG_WINDOW),)
