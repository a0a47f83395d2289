"""Where a heat map says anything: a Parametric Map is cropped to that, as a pixel has 32 bits and most say nothing."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from node.results.pages.heat import NOTHING, scale_of
from node.results.source.geometry import FramePlane
from plugins.contract import Heatmap


@dataclass(frozen=True, slots=True)
class Extent:
    """A box of a heat map: which of its planes, in the plugin's order, and which rows and columns of each."""

    planes: slice
    rows: slice
    columns: slice

    @classmethod
    def whole(cls, heatmap: Heatmap) -> Extent:
        """All of it."""
        return cls(*(slice(0, size) for size in heatmap.values.shape))

    @classmethod
    def of(cls, heatmap: Heatmap) -> Extent:
        """The least box outside of which every value is as good as 0; all of a map that says nothing anywhere.

        No plane between two others is left out: viewers take equal distances for granted.
        """
        low, high = scale_of(heatmap)
        least = NOTHING * (high - low)
        depth, height, breadth = (np.zeros(size, dtype=np.bool_) for size in heatmap.values.shape)
        for number, plane in enumerate(heatmap.values):  # a plane at a time: a map may fill the memory
            says = np.abs(plane) >= least
            height |= says.any(axis=1)
            breadth |= says.any(axis=0)
            depth[number] = says.any()
        if not depth.any():
            return cls.whole(heatmap)
        return cls(_ends(depth), _ends(height), _ends(breadth))

    def values(self, heatmap: Heatmap) -> NDArray[np.float32]:
        """The map's values within it."""
        return heatmap.values[self.planes, self.rows, self.columns]

    def cuts(self, plane: FramePlane) -> bool:
        """Whether it leaves out pixels of a plane that it has."""
        return (self.rows, self.columns) != (slice(0, plane.rows), slice(0, plane.columns))

    def placed(self, plane: FramePlane) -> FramePlane:
        """The part of a source plane that is within it: its first pixel is another one (PS3.3 C.7.6.2.1.1)."""
        right = plane.row_direction * plane.spacing[1] * self.columns.start
        down = plane.column_direction * plane.spacing[0] * self.rows.start
        return replace(
            plane,
            position=plane.position + right + down,
            rows=self.rows.stop - self.rows.start,
            columns=self.columns.stop - self.columns.start,
        )


def _ends(says: NDArray[np.bool_]) -> slice:
    """From the first to the last index that says anything."""
    found = np.flatnonzero(says)
    return slice(int(found[0]), int(found[-1]) + 1)
