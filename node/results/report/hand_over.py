"""What viewers built on Cornerstone (OHIF) make of our regions when a reader takes a report's measurements over.

Such a viewer offers to turn the regions of an SR into measurements of its own, which can be edited. It uses the
tracking identifier, else by the shape (one point; a line of four or five points is a rectangle, whatever it is), and
reads the region from the first number of the group. Regions that it cannot read vanish from the screen without a word
as soon as the reader agrees; OHIF 3.13 does that, and tests/viewer watches it. So a report is written such that either
all of its regions can be taken over as what they are, or none is offered. Shown they are in both cases.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum

import numpy as np
from numpy.typing import NDArray

from plugins.contract import Box, Ellipse, Finding, Measurement, Point, Polygon, Polyline, Region

_LENGTHS, _AREAS = frozenset({"mm", "cm"}), frozenset({"mm2", "cm2"})
"""UCUM. The viewer shows the first number of a line as its length, of an outline as its area: it must be one."""


class HandOver(Enum):
    """How the regions of a report can be taken over."""

    BY_NAME = "the tracking identifiers name the tools"
    BY_SHAPE = "each shape is what the viewer guesses from it"
    NOT_OFFERED = "no shape is one from which it guesses"
    UNSAFE = "it would guess, and lose or distort some of them"


@dataclass(frozen=True)
class RegionOfFinding:
    """A region as a report has it, the `number`th of its finding."""

    region: Region
    finding: Finding
    number: int
    outline: NDArray[np.float64] | None
    """(n, 2) points of the SCOORD; None where it is an SCOORD3D."""

    @property
    def leading(self) -> Measurement | None:
        """The number that the tool shows as its own: the first length of a line, the first area of an outline."""
        if self.number > 0:
            return None
        units = self._units
        return next((m for m in self.finding.measurements if m.value is not None and m.unit.code in units), None)

    @property
    def tool(self) -> str | None:
        """The Cornerstone tool that takes the region over as what it is; None where none does."""
        if isinstance(self.region, Point):
            return "Probe"
        if isinstance(self.region, Box):
            return "RectangleROI"
        if self._units and self.leading is None:
            return None  # it would fail on the missing number
        if isinstance(self.region, Ellipse):
            return "EllipticalROI" if self._is_upright else None
        return "Length" if self._units == _LENGTHS else "PlanarFreehandROI"

    @property
    def guess(self) -> str | None:
        """The tool that a viewer guesses from the shape where none is named (Graphic Type and number of points)."""
        if isinstance(self.region, Point):
            return "Probe"
        if self.outline is None:
            is_line, points = isinstance(self.region, Polyline), len(self.region.points)
        else:
            is_line, points = not isinstance(self.region, Ellipse), len(self.outline)
        return "RectangleROI" if is_line and points in (4, 5) else None

    @property
    def _units(self) -> frozenset[str]:
        """Units of the number that the tool shows; empty where it needs none."""
        if isinstance(self.region, Polygon | Ellipse | Box):
            return _AREAS
        return _LENGTHS if isinstance(self.region, Polyline) and len(self.region.points) == 2 else frozenset()

    @property
    def _is_upright(self) -> bool:
        """Whether the first axis runs along the columns: the tool takes it for the height, and else errs."""
        if self.outline is None:
            return False
        across, along = np.abs(self.outline[1] - self.outline[0])
        return bool(across < 0.01 * along)


def hand_over(regions: Sequence[RegionOfFinding], *, editable: bool) -> HandOver:
    """How all regions of a report can be taken over together."""
    tools, guesses = [one.tool for one in regions], [one.guess for one in regions]
    if editable and None not in tools:
        return HandOver.BY_NAME
    if not any(guesses):
        return HandOver.NOT_OFFERED
    return HandOver.BY_SHAPE if guesses == tools and None not in guesses else HandOver.UNSAFE


def tracking_identifier(identifier: str, tool: str) -> str:
    """The identifier that names the tool, in the form that Cornerstone reads, and the lesion."""
    return f"Cornerstone3DTools@^0.1.0:{tool}:{identifier}"
