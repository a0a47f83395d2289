"""A mammogram as it is hung: right beside left, CC above MLO, with a score for each breast."""

from __future__ import annotations

from collections.abc import Sequence

from node.results.context import Context
from node.results.pages.canvas import ABSENT, SECONDARY, TEXT, Canvas, Colour
from node.results.pages.finding_rows import score_text
from node.results.pages.fonts import Face, drawable, line_height, width
from node.results.pages.overlay import finding_colour
from node.results.pages.page import CONTENT, MARGIN, Block
from node.results.source.breast_views import is_modified, view_of
from node.results.source.images import SourceImage, Sources
from node.results.source.laterality import side_of
from plugins.contract import Code, Finding

_SIZE = 24
_ORDER = (("R", "CC"), ("L", "CC"), ("R", "MLO"), ("L", "MLO"))
_SIDES = {"R": "24028007", "L": "7771000"}
"""SNOMED CT codes of the sides (PS3.16 CID 244)."""
_BOTH = "51440002"

Views = list[SourceImage | None]
"""RCC, LCC, RMLO, LMLO; None where a view was not made. A pair that has neither is left out."""


def views_of(sources: Sources) -> Views:
    """The standard views, each once (the first of its kind, whole before magnified); nothing where there are fewer than
    two.
    """
    found: dict[tuple[str, str], SourceImage] = {}
    for image in sorted(sources.images, key=is_modified):
        if image.code("Modality") == "MG":
            found.setdefault((side_of(image), view_of(image)), image)
    views = [found.get(each) for each in _ORDER]
    if sum(image is not None for image in views) < 2:
        return []
    return [image for pair in (views[:2], views[2:]) if any(pair) for image in pair]


def head(context: Context) -> list[Block]:
    """Above each column the breast, and the greatest score of what was found in it, or else of what was looked for."""
    texts = context.texts
    cells = []
    for side in ("R", "L"):
        name = texts.laterality[_SIDES[side]]
        score, colour = _score(context, side)
        cells.append((name, score, colour))

    def draw(canvas: Canvas, top: int) -> None:
        for column, (name, score, colour) in enumerate(cells):
            used = sum(width(drawable(text), Face.SEMIBOLD, _SIZE) for text in (name, score)) + (14 if score else 0)
            left = MARGIN + column * (CONTENT // 2) + (CONTENT // 2 - used) // 2
            after = canvas.text(left, top + 6, name, _SIZE, TEXT if score else SECONDARY, Face.SEMIBOLD)
            if score:
                canvas.text(after + 14, top + 6, score, _SIZE, colour, Face.SEMIBOLD)

    return [Block(line_height(_SIZE) + 8, draw, keep_with_next=True)]


def _score(context: Context, side: str) -> tuple[str, Colour]:
    """ "0.91", in the colour of what it is of; empty where nothing of this breast has a score."""
    of_side = [
        finding
        for finding in context.request.result.findings
        if finding.score is not None and side in _sides(finding, context.sources)
    ]
    judged = [finding for finding in of_side if finding.present] or of_side
    best = max(judged, key=lambda finding: finding.score.value if finding.score else 0.0, default=None)
    if best is None or best.score is None:
        return "", SECONDARY
    return score_text(best.score), finding_colour(urgent=best.urgent) if best.present else ABSENT


def _sides(finding: Finding, sources: Sources) -> set[str]:
    """R, L or both: where its site says so, else where its regions are; an absent one without a side is of both."""
    if finding.site is not None and finding.site.laterality is not None:
        return _sides_of(finding.site.laterality)
    images: Sequence[str] = [region.image.sop_instance_uid for region in finding.regions if region.image is not None]
    sides = {side_of(image) for uid in images if (image := sources.by_uid.get(uid))}
    return sides or ({"R", "L"} if finding.present is False else set())


def _sides_of(laterality: Code) -> set[str]:
    if laterality.value == _BOTH:
        return {"R", "L"}
    return {side for side, code in _SIDES.items() if code == laterality.value}
