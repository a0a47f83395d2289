"""What becomes one group of a report: a finding with one of its regions, or with its segments in one SEG."""

from __future__ import annotations

from dataclasses import dataclass

from node.results.maps.masks import Mask
from node.results.report.hand_over import RegionOfFinding
from node.results.report.regions import LocatedRegion
from plugins.contract import Finding, Region


@dataclass(frozen=True)
class Segments:
    """Segments of one of our SEGs."""

    mask: Mask
    sop_instance_uid: str
    """Of the SEG."""
    labels: tuple[int, ...]
    """Those that occur in it."""

    @property
    def numbers(self) -> list[int]:
        """Segment Numbers."""
        return sorted(self.mask.segment_number(label) for label in self.labels)

    @property
    def planes(self) -> list[int]:
        """Indices of the planes that they are on."""
        return self.mask.frames_with(self.labels)

    @property
    def is_planar(self) -> bool:
        """Whether it is one segment on one frame: what TID 1410 can refer to."""
        return len(self.labels) == 1 and len(self.planes) == 1


@dataclass(frozen=True)
class FindingPart:
    """One group (viewers read one SCOORD a group)."""

    identifier: str
    """For tracking; that of another group only where both show one lesion on images that nothing joins."""
    finding: Finding
    number: int
    """Of the region within the finding; the first carries the measurements and comments."""
    region: Region | None
    place: LocatedRegion | Region | Segments | None
    """A region as this SR class can hold it, or segments of one of our SEGs; None: neither."""
    is_whole: bool = True
    """Whether it says what the finding is: the first does, and every other under the same identifier."""
    shown_number: int | None = None
    """Of the finding, as on pages and images; None where it needs none."""
    named: bool = False
    """Whether the tracking identifier names the tool that takes the region over."""

    @property
    def is_first(self) -> bool:
        """Whether it carries the measurements."""
        return self.number == 0

    @property
    def marked(self) -> RegionOfFinding | None:
        """The region as this SR has it; None where it has none."""
        if self.region is None or self.place is None:
            return None
        outline = self.place.outline if isinstance(self.place, LocatedRegion) else None
        return RegionOfFinding(self.region, self.finding, self.number, outline)

    @property
    def is_length(self) -> bool:
        """Whether its first number is the length of its line."""
        return self.marked is not None and self.marked.tool == "Length"
