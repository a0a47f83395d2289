"""Trachea and main bronchi: found from above, followed from slice to slice, taken out of the lungs.

The trachea is a round, air-filled section near the midline above the lungs; below, the sections that
overlap the ones above are the airway for as long as they are small and have a wall of tissue around
them (after Hu, Hoffman, Reinhardt, IEEE Trans Med Imaging 2001;20:490, doi:10.1109/42.929615). Bronchi
inside the lung whose wall is thinner than a voxel stay part of it.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from plugins.lung_density.masks import Mask, dilated

LUMEN_HU = -900
"""Smoothed HU below which a voxel may be lumen; normal lung is denser, a tracheal wall much denser."""
SECTION_MM2 = (40.0, 800.0)
"""Area of a trachea's section: 7 to 32 mm across."""
BRONCHUS_MM2 = 150.0
"""Area of the largest section of a bronchus that rises (to an upper lobe)."""
MIDLINE_MM = 45.0
"""How far from the body's middle the trachea may lie."""
LEAST_LENGTH_MM = 25.0
"""A trachea goes on for at least that long; a bowel loop or an apex does not keep its section."""
WALL_HU, WALL_SHARE = -700, 0.5
"""Around a bronchus at least that share of the voxels is denser than that; around a hole in the lung it is not."""
WALL_MM = 2.0
"""Taken out around the lumen: its wall, and the voxels that are part lumen, part wall."""


def airways(array: NDArray[np.float32], inside: Mask, spacing: tuple[float, float, float]) -> Mask | None:
    """Mask of trachea and main bronchi with their wall, or None where no trachea is found.

    `array`: HU (z, y, x); `inside`: air that is not outside the body.
    """
    lumen = np.zeros_like(inside)
    sections = _Sections(array, inside, spacing)
    for start in range(len(array) - 1, -1, -1):
        for section in sections.round_ones(start):
            followed = sections.follow(start, section)
            if (start - min(followed) + 1) * spacing[0] >= LEAST_LENGTH_MM:
                for z, mask in followed.items():
                    lumen[z][sections.window] |= mask
                return dilated(lumen, WALL_MM, spacing)
    return None


class _Sections:
    """Axial sections of air in a window around the body's middle."""

    def __init__(self, array: NDArray[np.float32], inside: Mask, spacing: tuple[float, float, float]) -> None:
        self.spacing = spacing
        self.pixel_mm2 = spacing[1] * spacing[2]
        self.array = array
        self.inside = inside
        tissue = (array[:: max(1, len(array) // 20)] > -300).sum(axis=(0, 1))
        self.middle = float(np.average(np.arange(len(tissue)), weights=tissue + 1e-9))
        reach = 90.0 / spacing[2]
        left, right = int(max(0, self.middle - reach)), int(min(array.shape[2], self.middle + reach + 1))
        self.offset = left
        self.window = (slice(None), slice(left, right))
        self.step = _disc(max(2.0, 1.2 * spacing[0]), spacing)
        self.gap = _disc(1.0, spacing)
        self.ring = _disc(3.0, spacing, wider=1)

    def lumen(self, z: int) -> Mask:
        """Air dark enough to be lumen, in the window of slice `z`."""
        sigma = [0.6 / step if step < 1.2 else 0 for step in self.spacing[1:]]
        smooth = ndimage.gaussian_filter(self.array[z][self.window], sigma)
        return np.asarray((smooth < LUMEN_HU) & self.inside[z][self.window])

    def round_ones(self, z: int) -> list[Mask]:
        """Sections in slice `z` that could be a trachea: size, shape and place."""
        labels, _ = ndimage.label(self.lumen(z))
        found = []
        for number, box in enumerate(ndimage.find_objects(labels), start=1):
            mask = labels == number
            area = int(mask.sum()) * self.pixel_mm2
            height, width = ((part.stop - part.start) * mm for part, mm in zip(box, self.spacing[1:], strict=True))
            x = self.offset + (box[1].start + box[1].stop - 1) / 2
            compact = area > 0.5 * height * width and max(height, width) < 2.5 * min(height, width)
            central = abs(x - self.middle) * self.spacing[2] < MIDLINE_MM
            if SECTION_MM2[0] <= area <= SECTION_MM2[1] and compact and central:
                found.append(mask)
        return found

    def follow(self, z: int, section: Mask) -> dict[int, Mask]:
        """The airway from slice `z` downwards, then the bronchi that rise from it: slice → its sections."""
        followed = {z: section}
        for lower in range(z - 1, -1, -1):
            above = followed[lower + 1]
            # the glottis widens, a leak jumps
            kept = self._next(lower, above, 1.8 * float(above.sum()) * self.pixel_mm2 + 60)
            if not kept.any():
                break
            followed[lower] = kept
        for higher in range(min(followed) + 1, z):
            followed[higher] |= self._next(higher, followed[higher - 1], BRONCHUS_MM2)
        return followed

    def _next(self, z: int, neighbour: Mask, most_mm2: float) -> Mask:
        """The sections in slice `z` that continue those of the slice beside it."""
        labels, _ = ndimage.label(self.lumen(z))
        kept = np.zeros_like(neighbour)
        for number in np.unique(labels[ndimage.binary_dilation(neighbour, self.step)]):
            mask = labels == number
            small = mask.sum() * self.pixel_mm2 <= min(SECTION_MM2[1], most_mm2)
            if number and small and self._has_wall(z, mask):
                kept |= mask
        return kept

    def _has_wall(self, z: int, mask: Mask) -> bool:
        around = ndimage.binary_dilation(mask, self.ring) & ~ndimage.binary_dilation(mask, self.gap)
        wall = self.array[z][self.window][around]
        return bool(wall.size) and float((wall > WALL_HU).mean()) >= WALL_SHARE


def _disc(radius_mm: float, spacing: tuple[float, float, float], wider: int = 0) -> Mask:
    """Pixels within `radius_mm` of the middle one, and never fewer than its neighbours (`wider` adds to that)."""
    reach = [max(1 + wider, round(radius_mm / step)) for step in spacing[1:]]
    y, x = np.ogrid[-reach[0] : reach[0] + 1, -reach[1] : reach[1] + 1]
    return np.asarray((y / reach[0]) ** 2 + (x / reach[1]) ** 2 <= 1.01)
