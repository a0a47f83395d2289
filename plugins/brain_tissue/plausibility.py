"""Whether a head, and what the network makes of it, can be true: a network answers on anything.

Arrays are those of `HeadImage`: (i, j, k) to the left, the feet and the front, voxels of 1 mm. README.md says where
the bounds are from.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from plugins.brain_tissue.network import GREY, WHITE, quantiles
from plugins.contract import NotApplicableError

LEAST_BRIGHT = 40
"""Upper quantile of the head in 8 bits, below which nothing of a head's size is in the images."""
MOST_DARK = 20
"""Lower quantile of it, above which no air is around: noise, a masked image, or no head."""
TOTAL_ML = (700.0, 1700.0)
WHITE_TO_GREY = (0.35, 1.0)
WHITE_INPUT = (0.85, 1.25)
"""Median of the network's input over white matter: what its labels were seen to hold for."""
LEAST_CONTRAST = 1.1
"""Brightness of white matter, as a multiple of that of grey matter, in T1."""
MOST_DIFFERENCE = 0.10
"""Of the two halves, as a share of their mean."""
LEAST_SYMMETRY = 0.80
"""Share of the brain that its mirror image covers."""
MOST_ISLANDS_ML = 10.0
SIZES_MM = ((105, 170), (95, 175), (125, 205))
"""Of the brain with its stem: from side to side, from top to bottom, from back to front."""
LEAST_BEHIND_MM = 6.0
"""How far the lowest fifth of the brain (stem and cerebellum) is behind all of it."""
MOST_END_CM2 = 10.0
"""Area of the brain in its outermost slices, along each axis of the scan; larger where a scan ends within it."""
LEAST_OVERLAP = 0.85
"""Dice coefficient of the labels, and those of a head that is 10 % brighter or darker."""
_CHANGES = {0.9: "darker", 1.1: "brighter"}
FACTORS = tuple(_CHANGES)
"""By which the network's input is multiplied to see whether its labels hold."""


@dataclass(frozen=True, slots=True)
class TissueVolumes:
    """mL on the network's grid."""

    white: float
    grey: float

    @staticmethod
    def of(labels: NDArray[np.uint8]) -> TissueVolumes:
        """Of labels with voxels of 1 mm."""
        white, grey = np.bincount(labels.ravel(), minlength=3)[[WHITE, GREY]] / 1000
        return TissueVolumes(float(white), float(grey))


def refuse_headless(head: NDArray[np.uint8]) -> None:
    """Raise where brightness alone says that there is no head in air."""
    dark, bright = quantiles(head)
    if bright < LEAST_BRIGHT:
        raise NotApplicableError("There is no head in the images: nothing of its size is bright enough.")
    if dark > MOST_DARK:
        raise NotApplicableError(
            "There is no dark air around a head in the images, so their brightness is not certain."
        )


def refuse_implausible(image: NDArray[np.float32], labels: NDArray[np.uint8], islands: int) -> None:
    """Raise where volumes, their parts or their brightness are not those of a brain; `islands` in voxels."""
    volumes = TissueVolumes.of(labels)
    total = volumes.white + volumes.grey
    _require(total > 0, "No brain was found in the images.")
    _refuse_brightness(image, labels)
    _within(total, TOTAL_ML, "Grey and white matter together have {:.0f} mL", "{:g} to {:g} mL")
    _within(volumes.white / volumes.grey, WHITE_TO_GREY, "White to grey matter is {:.2f}", "{:g} to {:g}")
    _require(
        islands / 1000 <= MOST_ISLANDS_ML,
        f"{islands / 1000:.0f} mL of what looks like brain lie apart from it: the network does not know such images.",
    )
    _refuse_shape(labels > 0)
    _refuse_halves(labels)


def _refuse_brightness(image: NDArray[np.float32], labels: NDArray[np.uint8]) -> None:
    _require(
        bool((labels == WHITE).any() and (labels == GREY).any()),
        "White and grey matter were not both found in the images.",
    )
    white, grey = float(np.median(image[labels == WHITE])), float(np.median(image[labels == GREY]))
    _require(
        white >= LEAST_CONTRAST * grey,
        "White matter is not clearly brighter than grey matter: the images are not T1-weighted, or their contrast is "
        "inverted.",
    )
    _within(
        white, WHITE_INPUT, "White matter has {:.2f} of the brightness that the network was made for", "{:g} to {:g}"
    )


def _refuse_shape(brain: NDArray[np.bool_]) -> None:
    for axis, (least, most) in enumerate(SIZES_MM):
        size = len(np.flatnonzero(_areas(brain, axis)))
        _require(
            least <= size <= most,
            f"What looks like brain is {size} mm {('wide', 'high', 'long')[axis]}; a brain has {least} to {most} mm.",
        )
    heights = np.flatnonzero(_areas(brain, 1))
    lowest = brain[:, int(heights[-1] - 0.2 * (heights[-1] - heights[0])) :]
    behind = _middle(brain, 2) - _middle(lowest, 2)
    _require(
        behind >= LEAST_BEHIND_MM,
        "The lowest part of the brain is not behind its middle, as stem and cerebellum are: the head does not lie as "
        "the header says.",
    )


def _refuse_halves(labels: NDArray[np.uint8]) -> None:
    brain = labels > 0
    middle = _middle(brain, 0)
    for label in (WHITE, GREY):
        areas = _areas(labels == label, 0)
        index = np.arange(len(areas))
        right, left = float(areas[index < middle].sum()), float(areas[index > middle].sum())
        difference = abs(right - left) / ((right + left) / 2)
        _require(
            difference <= MOST_DIFFERENCE,
            f"The halves of the brain differ by {100 * difference:.0f} %: it is incomplete or no brain.",
        )
    mirrored = np.zeros_like(brain)
    source = round(2 * middle) - np.arange(len(brain))
    inside = (source >= 0) & (source < len(brain))
    mirrored[inside] = brain[source[inside]]
    symmetry = int(np.count_nonzero(brain & mirrored)) / int(np.count_nonzero(brain))
    _require(
        symmetry >= LEAST_SYMMETRY,
        f"Only {100 * symmetry:.0f} % of the brain have a counterpart on the other side: part of it is missing, or the "
        "head is turned far to a side.",
    )


def refuse_cut_off(labels: NDArray[Any], spacing: tuple[float, float, float]) -> None:
    """Raise where the scan ends within the brain; labels on the source's grid, spacing in mm along its axes."""
    brain = labels > 0
    for axis in range(3):
        areas = _areas(brain, axis) * float(np.prod(spacing)) / spacing[axis] / 100
        present = np.flatnonzero(areas)
        _require(len(present) > 0, "No brain was found in the images.")
        _require(
            max(areas[present[0]], areas[present[-1]]) <= MOST_END_CM2,
            "The head is not complete: the images end within the brain.",
        )


def refuse_unstable(labels: NDArray[np.uint8], changed: NDArray[np.uint8], factor: float) -> None:
    """Raise where the network's labels of a brighter or darker head are others."""
    for label in (WHITE, GREY):
        one, other = labels == label, changed == label
        sizes = int(np.count_nonzero(one)) + int(np.count_nonzero(other))
        overlap = 2 * int(np.count_nonzero(one & other)) / max(sizes, 1)
        _require(
            overlap >= LEAST_OVERLAP,
            f"The labels do not hold: in images that are 10 % {_CHANGES[factor]}, {100 * (1 - overlap):.0f} % of a "
            "tissue would be another.",
        )


def _areas(mask: NDArray[np.bool_], axis: int) -> NDArray[np.intp]:
    """How many voxels each slice along an axis has."""
    return np.asarray(np.count_nonzero(mask, axis=tuple({0, 1, 2} - {axis})))


def _middle(mask: NDArray[np.bool_], axis: int) -> float:
    """The centre of gravity along an axis."""
    return float(np.average(np.arange(mask.shape[axis]), weights=_areas(mask, axis)))


def _within(value: float, bounds: tuple[float, float], words: str, range_words: str) -> None:
    _require(bounds[0] <= value <= bounds[1], f"{words.format(value)}; plausible are {range_words.format(*bounds)}.")


def _require(holds: bool, reason: str) -> None:
    if not holds:
        raise NotApplicableError(reason)
