"""What a plugin says about one study: a status, a summary, findings, and what shows them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

import numpy as np

from plugins import fields
from plugins.coding import Code, Site
from plugins.documents import PdfDocument
from plugins.images import ContractError, require
from plugins.maps import Heatmap, Segment, Segmentation
from plugins.measurements import Measurement, Score
from plugins.pictures import KeyImage, Picture
from plugins.regions import Region
from plugins.returned import ReturnedObject
from plugins.status import ResultStatus

SUMMARY_LIMIT = 1024
"""Characters of `Result.summary`: the most that a text item of an SR page shows in every viewer known to us."""


@dataclass(frozen=True)
class Finding:
    """One thing looked for: found or not, where, how sure, and its numbers.

    `present=None` says that the finding is a heading for measurements only (lung density is
    measured, it is neither present nor absent).
    """

    code: Code
    present: bool | None = None
    score: Score | None = None
    site: Site | None = None
    measurements: tuple[Measurement, ...] = ()
    regions: tuple[Region, ...] = ()
    segments: tuple[int, ...] = ()
    """Segment numbers in `Result.segmentation` that show this finding."""
    tracking_id: str | None = None
    """A name for this lesion, ≤ 64 characters, unique in the result; the node makes one where it is None."""
    urgent: bool = False
    comment: str = ""

    def __post_init__(self) -> None:
        object.__setattr__(self, "code", Code.of(self.code, "Finding.code"))
        name = f"Finding {self.code.meaning!r}"
        self._complete(name)
        require(not (self.urgent and self.present is False), f"{name}: urgent, but absent")
        require(self.present is not False or not self.regions, f"{name}: absent, but it has regions")

    def _complete(self, name: str) -> None:
        """Make each field what it is declared as, where its meaning is certain."""
        made: dict[str, Any] = {
            "measurements": fields.items(self.measurements, f"{name}.measurements", Measurement, _measurement),
            "regions": fields.items(self.regions, f"{name}.regions", _REGIONS, _region),
            "segments": fields.items(self.segments, f"{name}.segments", (int, np.integer, Segment), _segment_number),
            "urgent": fields.truth(self.urgent, f"{name}.urgent"),
            "comment": fields.text(self.comment, f"{name}.comment", SUMMARY_LIMIT, least=0),
        }
        if self.present is not None:
            made["present"] = fields.truth(self.present, f"{name}.present")
        if self.score is not None:
            made["score"] = Score.of(self.score, f"{name}.score")
        if self.site is not None:
            made["site"] = Site.of(self.site, f"{name}.site")
        if self.tracking_id is not None:
            made["tracking_id"] = fields.text(self.tracking_id, f"{name}.tracking_id", 64)
        for attribute, value in made.items():
            object.__setattr__(self, attribute, value)


_REGIONS = get_args(Region)
_measurement = fields.instance(Measurement, "a Measurement(concept, value, unit)")
_region = fields.instance(_REGIONS, "a Point, Polyline, Box, Polygon or Ellipse")


def _segment_number(value: Any, name: str) -> int:
    return value.number if isinstance(value, Segment) else fields.whole_number(value, name)


@dataclass(frozen=True)
class Result:
    """All that a plugin has to say about one study.

    `summary` is for a human (≤ 1,024 characters): the answer in a sentence or two, or the reason
    why there is none. Findings may be absent findings: `no_findings` names what was looked for.
    """

    status: ResultStatus
    summary: str
    findings: tuple[Finding, ...] = ()
    segmentation: Segmentation | None = None
    heatmaps: tuple[Heatmap, ...] = ()
    key_images: tuple[KeyImage, ...] = ()
    pictures: tuple[Picture, ...] = ()
    documents: tuple[PdfDocument, ...] = ()
    """Reports of the plugin's own as PDF, for destinations that ask for them."""
    quality: tuple[str, ...] = ()
    """Limits a reader should know (≤ 256 characters each): "4 % of lung voxels touch the image border"."""
    objects: tuple[ReturnedObject, ...] = ()
    """DICOM objects that the plugin made itself."""

    def __post_init__(self) -> None:
        made: dict[str, Any] = {"status": fields.member(self.status, ResultStatus, "Result.status")}
        for attribute, (one, make) in _PARTS.items():
            made[attribute] = fields.items(getattr(self, attribute), f"Result.{attribute}", one, make)
        made["summary"] = fields.text(self.summary, "Result.summary", SUMMARY_LIMIT, least=0)
        for attribute, value in made.items():
            object.__setattr__(self, attribute, value)
        require(bool(self.summary.strip()), "Result.summary: must say something")
        if self.segmentation is not None and not isinstance(self.segmentation, Segmentation):
            raise ContractError(f"Result.segmentation: {fields.shown(self.segmentation)} is not a Segmentation")
        self._check_status()
        self._check_references()

    def _check_status(self) -> None:
        if self.status is ResultStatus.FINDINGS:
            require(
                bool(self.objects) or any(finding.present is not False for finding in self.findings),
                "Result.findings: status is 'findings', but none is present or measured",
            )
        elif self.status is ResultStatus.NO_FINDINGS:
            require(
                bool(self.findings),
                "Result.findings: status is 'no_findings'; name what was looked for as absent findings",
            )
            require(
                not any(finding.present for finding in self.findings),
                "Result.findings: status is 'no_findings', but one is present",
            )
        else:
            require(not self.findings, f"Result.findings: must be empty when the status is {self.status.value!r}")
        require(
            not self.objects or self.status is not ResultStatus.FAILED,
            "Result.objects: must be empty when the status is 'failed'",
        )

    def _check_references(self) -> None:
        tracking = [finding.tracking_id for finding in self.findings if finding.tracking_id]
        require(len(set(tracking)) == len(tracking), "Finding.tracking_id: occurs twice in one result")
        known = {segment.number for segment in self.segmentation.segments} if self.segmentation else set()
        for finding in self.findings:
            missing = set(finding.segments) - known
            require(
                not missing, f"Finding {finding.code.meaning!r}.segments: {sorted(missing)} are not in the segmentation"
            )
            shown = not finding.present or not finding.segments or self._shows(finding)
            numbers = sorted(finding.segments)
            require(shown, f"Finding {finding.code.meaning!r}.segments: present, but none of {numbers} has a voxel")

    def _shows(self, finding: Finding) -> bool:
        """Whether any of a finding's segments has a voxel."""
        planes = self.segmentation.planes if self.segmentation else ()
        return any(bool(np.isin(plane, finding.segments).any()) for plane in planes)


_PARTS: Mapping[str, tuple[Any, Callable[[Any, str], Any]]] = {
    "findings": (Finding, fields.instance(Finding, "a Finding(code, …)")),
    "heatmaps": (Heatmap, fields.instance(Heatmap, "a Heatmap(values, frames, quantity)")),
    "key_images": (KeyImage, fields.instance(KeyImage, "a KeyImage(image, reason)")),
    "documents": (PdfDocument, fields.instance(PdfDocument, "a PdfDocument(pdf, title)")),
    "pictures": (Picture, fields.instance(Picture, "a Picture(pixels, caption)")),
    "objects": ((ReturnedObject, str, Path), ReturnedObject.of),
    "quality": (str, lambda value, name: fields.text(value, name, 256)),
}
"""Field of a result that is a list → what may be there alone, and how each item is made."""
