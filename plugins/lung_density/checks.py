"""What must be so for the numbers to mean something: else the reason why the images are not applicable.

Densitometry assumes CT in HU, no contrast medium (it adds density to the whole lung), thin slices (thick
ones average holes away), complete lungs, and noise that does not by itself push voxels below the
thresholds. Where a limit is debatable the images are let pass, and a note goes into the result's quality.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from pydicom import Dataset
from scipy import ndimage

from plugins.attribute_numbers import number
from plugins.contract import NotApplicableError
from plugins.lung_density.masks import Mask, ball, bounding_box, components
from plugins.lung_density.orientation import AnatomicalView
from plugins.stored_values import rescale_unit

NO_AGENT = {"", "NONE", "NO", "N", "W/O", "WITHOUT", "NON CONTRAST", "NO CONTRAST", "-"}
"""What scanners write into Contrast/Bolus Agent when none was given."""
CUT_SHARE = 0.06
"""Lung area in the first or the last slice, as a share of the largest, above which the lungs are cut off."""
EDGE_SHARE = 0.002
"""Share of lung voxels at the image's edge above which the field of view cuts the lungs off."""
LEAST_BLOOD_ML = 15.0
SMOOTH_MM = 3.0
"""Standard deviation of the Gaussian under which blood is looked for: large enough to leave little of the noise."""
THIN_MM = 1.5
"""Slices up to this are what densitometry is validated on."""
NOISY_HU = 40.0
"""Noise above which a visible share of normal lung falls below −950 HU by noise alone."""
EXPIRED_HU = -750.0
"""Mean density above which the lungs were hardly at full inspiration."""
UNEQUAL_SHARE = 0.38
"""Share of the smaller lung below which it may be partly filled or collapsed; 45 % is usual for the left."""
_SHARP = (
    (r"SIEMENS", r"^[A-Z][A-Z]?[5-9]\d"),
    (r"^GE", r"LUNG|BONE|EDGE|DETAIL"),
    (r"PHILIPS", r"^(D|E|L|YB|YC|YD|YE)$"),
    (r"TOSHIBA|CANON", r"^FC0?[3-8]\d"),
)
"""(manufacturer, convolution kernel) of edge-enhancing reconstructions; the names are the vendors' own."""


@dataclass(frozen=True, slots=True)
class Blood:
    """What heart and great vessels measure."""

    density_hu: float
    noise_hu: float
    """Standard deviation of neighbouring voxels."""


def refuse_headers(headers: Sequence[Dataset], most_slice_mm: float) -> None:
    """Raise where the headers alone say that these images are not for densitometry."""
    for header in headers:
        if header.get("Modality") != "CT":
            raise NotApplicableError(f"The images are {header.get('Modality') or 'of no stated modality'}, not CT.")
        if rescale_unit(header.get("RescaleType")) not in ("", "HU", "US"):
            raise NotApplicableError(f"The values are {header.RescaleType} (Rescale Type), not HU.")
        agent = str(header.get("ContrastBolusAgent") or "").strip().upper()
        route = str(header.get("ContrastBolusRoute") or "").upper()
        if agent not in NO_AGENT and not re.search("ORAL|RECTAL", route):
            raise NotApplicableError("Contrast medium was given, by the header of the images (Contrast/Bolus Agent).")
        place = f"SOP instance {header.get('SOPInstanceUID', 'without UID')}"
        refuse_thick(number(header, "SliceThickness", place) or 0, most_slice_mm)


def refuse_thick(slice_mm: float, most_slice_mm: float) -> None:
    """Raise where slices are too thick, or too far apart."""
    if slice_mm > most_slice_mm:
        raise NotApplicableError(
            f"The slices are {slice_mm:.3g} mm thick; at most {most_slice_mm:g} mm can be measured."
        )


def refuse_cut_off(lungs: Mask) -> None:
    """Raise where the scan begins or ends within the lungs; axes z, y, x."""
    areas = np.count_nonzero(lungs, axis=(1, 2))
    for area, where in ((areas[-1], "above: apices are missing"), (areas[0], "below: bases are missing")):
        if area > CUT_SHARE * areas.max():
            raise NotApplicableError(f"The lungs are incomplete; the scan cuts them off {where}.")


def refuse_cropped(labels: NDArray[np.uint8]) -> None:
    """Raise where the field of view cuts the lungs off at the side; axes z, y, x."""
    edges = (labels[:, :2], labels[:, -2:], labels[:, :, :2], labels[:, :, -2:])
    if sum(int(np.count_nonzero(edge)) for edge in edges) > EDGE_SHARE * np.count_nonzero(labels):
        raise NotApplicableError("The lungs are incomplete; the field of view cuts them off at the side.")


def blood(view: AnatomicalView, labels: NDArray[np.uint8]) -> Blood:
    """Density and noise of heart and great vessels; raises where too little of them is found.

    They are looked for between the lungs, in the middle of their height, in front of the spine and behind the
    sternum by the lungs' own extent, 6 mm away from air and fat. The density is the 75th percentile of smoothed
    values: muscle and myocardium take up less contrast than blood does.
    """
    z, y, x = bounding_box(labels > 0)
    box = (_part(z, 0.30, 0.60), _part(y, 0.20, 0.55), _part(x, 0.25, 0.75))
    array = np.ascontiguousarray(view.array[box])
    smooth = ndimage.gaussian_filter(array, [SMOOTH_MM / step for step in view.spacing])
    tissue = (smooth > -30) & (smooth < 700) & (labels[box] == 0)
    numbers, sizes = components(ndimage.binary_erosion(tissue, ball(6.0, view.spacing), border_value=1))
    if sizes.max() * float(np.prod(view.spacing)) / 1000 < LEAST_BLOOD_ML:
        raise NotApplicableError(
            "Heart and great vessels could not be found, so contrast medium and noise cannot be ruled out."
        )
    region = numbers == sizes.argmax()
    return Blood(float(np.percentile(smooth[region], 75)), _noise(array, region, view.spacing))


def _noise(array: NDArray[np.float32], region: Mask, spacing: tuple[float, float, float]) -> float:
    """Median of the standard deviations in windows of 15 mm within the slices, over the region's voxels only.

    Noise is correlated over two or three pixels, so that a small window would see too little of it.
    """
    window = [1, *(max(5, round(15 / step) | 1) for step in spacing[1:])]
    weight = ndimage.uniform_filter(region.astype(np.float32), window)
    inside = np.where(region, array, 0)
    chosen = region & (weight > 0.5)
    if not chosen.any():
        chosen = region
    share = weight[chosen]
    mean = ndimage.uniform_filter(inside, window)[chosen] / share
    square = ndimage.uniform_filter(inside * inside, window)[chosen] / share
    count = share * window[1] * window[2]
    return float(np.median(np.sqrt(np.maximum(square - mean * mean, 0) * count / np.maximum(count - 1, 1))))


def _part(whole: slice, begin: float, end: float) -> slice:
    size = whole.stop - whole.start
    return slice(whole.start + int(begin * size), whole.start + int(end * size) + 1)


def refuse_blood(found: Blood, most_density_hu: float, most_noise_hu: float) -> None:
    """Raise where the images are too noisy, or the blood shows contrast medium."""
    if found.noise_hu > most_noise_hu:
        raise NotApplicableError(
            f"The images are too noisy: {found.noise_hu:.0f} HU, at most {most_noise_hu:g} HU can be measured."
        )
    if found.density_hu > most_density_hu:
        raise NotApplicableError(
            f"Contrast medium was given: heart and great vessels measure {found.density_hu:.0f} HU "
            f"(at most {most_density_hu:g} HU without contrast)."
        )


def notes(header: Dataset, slice_mm: float, found: Blood, mean_hu: float, smaller_share: float) -> list[str]:
    """What limits the numbers without making them meaningless."""
    kernel, maker = _kernel(header), str(header.get("Manufacturer") or "").upper()
    result = []
    if any(re.search(vendor, maker) and re.search(sharp, kernel.upper()) for vendor, sharp in _SHARP):
        result.append(f"Sharp reconstruction kernel ({kernel}): low attenuation areas come out too large.")
    if slice_mm > THIN_MM:
        result.append(f"Slices of {slice_mm:.3g} mm: low attenuation areas come out smaller than with 1 mm slices.")
    if found.noise_hu > NOISY_HU:
        result.append(f"Noise of {found.noise_hu:.0f} HU: low attenuation areas come out too large.")
    if mean_hu > EXPIRED_HU:
        result.append(f"Mean lung density of {mean_hu:.0f} HU: not a full inspiration, or diffuse lung disease.")
    if smaller_share < UNEQUAL_SHARE:
        result.append("The lungs differ much in volume: filled or collapsed parts of a lung are not measured.")
    return result


def _kernel(header: Dataset) -> str:
    value = header.get("ConvolutionKernel")
    return "" if value is None else str(value if isinstance(value, str) else value[0])
