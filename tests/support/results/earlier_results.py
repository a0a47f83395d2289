"""Reports on results that were computed from an earlier step's segmentation."""

from __future__ import annotations

from pathlib import Path

from pydicom.uid import SegmentationStorage

from node.config.encoding import EncodingProfile
from node.results.encode import encode
from node.results.request import ComputedFrom, SourceReference
from tests.support.results import reports

SEGMENTATION = SourceReference(reports.STUDY_UID, "2.25.77.1", "2.25.77", SegmentationStorage)


def report_of(
    folder: Path,
    segmentations: tuple[SourceReference, ...] | None,
    profile: EncodingProfile | None = None,
    kind: str = "ct",
) -> Path:
    """The report on measured lungs, computed from these segmentations of the step lungs; None: from images alone."""
    paths = reports.write_series(kind, folder / "in")
    rests_on = () if segmentations is None else (ComputedFrom("lungs", "finds", "3", segmentations),)
    asked = {"profile": profile or EncodingProfile(kinds=frozenset({"sr"})), "computed_from": rests_on}
    made = encode(reports.request(paths, reports.measured(), **asked), folder / "out")
    assert made.reasons == ()
    return next(one.path for one in made if one.kind == "sr")
