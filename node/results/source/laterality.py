"""Which side results show: Laterality, or a body part that has no sides (PS3.3 C.7.3.1; PS3.16 Annex L)."""

from __future__ import annotations

from collections.abc import Sequence

from pydicom import Dataset

from node.results.source.copying import readable, readable_items
from node.results.source.images import SourceImage

UNPAIRED = frozenset(
    (
        "ABDOMEN",
        "ABDOMENPELVIS",
        "AORTA",
        "BLADDER",
        "BRAIN",
        "CHEST",
        "CHESTABDOMEN",
        "CHESTABDPELVIS",
        "COCCYX",
        "COLON",
        "CSPINE",
        "ESOPHAGUS",
        "GALLBLADDER",
        "HEAD",
        "HEADNECK",
        "HEART",
        "LIVER",
        "LSPINE",
        "MEDIASTINUM",
        "NECK",
        "NECKCHEST",
        "PANCREAS",
        "PELVIS",
        "PROSTATE",
        "RECTUM",
        "SKULL",
        "SPINE",
        "SPLEEN",
        "SSPINE",
        "STOMACH",
        "TSPINE",
        "UTERUS",
        "WHOLEBODY",
    )
)
"""Defined Terms of Body Part Examined for parts that are not paired (PS3.16 Table L-1)."""


_CODED = {
    ("24028007", "SCT"): "R",
    ("7771000", "SCT"): "L",
    ("51440002", "SCT"): "B",
    ("G-A100", "SRT"): "R",
    ("G-A101", "SRT"): "L",
    ("G-A102", "SRT"): "B",
}
"""Modifiers of an anatomic region (PS3.16 CID 244; SRT as older images write it)."""


def side_of(image: SourceImage) -> str:
    """R, L, B or U: the side of which an image is, by its attributes, functional groups and coded region.

    Empty where none of them says it, and where they contradict each other: a wrong side is worse than none.
    """
    header = image.header
    groups = [
        anatomy
        for sequence in ("SharedFunctionalGroupsSequence", "PerFrameFunctionalGroupsSequence")
        for group in readable_items(header, sequence)
        for anatomy in readable_items(group, "FrameAnatomySequence")
    ]
    stated = [readable(header, "ImageLaterality"), readable(header, "Laterality")]
    stated += [readable(group, "FrameLaterality") for group in groups]
    regions = [region for place in (header, *groups) for region in readable_items(place, "AnatomicRegionSequence")]
    modifiers = [code for region in regions for code in readable_items(region, "AnatomicRegionModifierSequence")]
    stated += [
        _CODED.get((str(readable(code, "CodeValue")), str(readable(code, "CodingSchemeDesignator"))))
        for code in modifiers
    ]
    sides = {side for side in stated if side in ("R", "L", "B", "U")}
    return str(sides.pop()) if len(sides) == 1 else ""


def state_laterality(made: Dataset, sources: Sequence[SourceImage]) -> None:
    """Laterality is Type 2C: a side that all images share; none for an unpaired part, which is then named; else empty.

    Empty means that nobody knows the side, which is so where the images name no body part either.
    """
    sides = {side_of(image) for image in sources}
    parts = {image.code("BodyPartExamined") for image in sources}
    made.pop("Laterality", None)
    if sides in ({"L"}, {"R"}):
        made.Laterality = sides.pop()
    elif len(parts) == 1 and parts <= UNPAIRED:
        made.BodyPartExamined = parts.pop()
    else:
        made.Laterality = ""
