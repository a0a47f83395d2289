"""Where an image comes from: the scanner itself, processing after it, or a program that recognises things in images.

Reports and images that an AI made are recognised by what the Standard has for it, and by makers that the site names.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from rules import values
from rules.derived import code_of, text_of
from rules.facts import Datum, FromSource, InstanceSource, Item, SeriesFacts

_PROCESSING = ("109102", "DCM")
"""Processing Equipment, as purpose of a contributing equipment (PS3.16 CID 7005)."""
_ALGORITHM = ("111001", "111002", "111003")
"""Algorithm Name, Parameters, Version (PS3.16 TID 4019), all DCM."""
_CAD_REPORTS = tuple(f"1.2.840.10008.5.1.4.1.1.88.{last}" for last in ("50", "65", "69"))
"""Mammography CAD SR, Chest CAD SR, Colon CAD SR (PS3.4 B.5)."""
_SECONDARY_CAPTURE = "1.2.840.10008.5.1.4.1.1.7"
_PROJECTION = frozenset({"CR", "DX", "IO", "MG", "PX", "RF", "RG", "US", "XA"})
"""Modalities whose images for presentation are derived ones of the same exposure (PS3.3 C.7.6.1.1.2, C.8.11.3.1.1)."""
_ALGORITHM_SEQUENCES = ("SegmentSequence", "AnnotationGroupSequence", "SurfaceSequence", "TrackSetSequence")
_KEYWORDS = ("ContributingEquipmentSequence", "ContentSequence", "Manufacturer", *_ALGORITHM_SEQUENCES)
_DEEPEST = 12


def _made_by_ai(image: Item, source: InstanceSource, series: SeriesFacts) -> tuple[Datum, ...]:
    """By what it is known that a program made it; nothing where it is not known."""
    found = dict.fromkeys(_signs(image, source, series))
    return tuple(found)


def _signs(image: Item, source: InstanceSource, series: SeriesFacts) -> Iterator[str]:
    if any(made(text_of(image, "Manufacturer"), source.calling_ae_title) for made in series.vendors):
        yield "vendor"
    for item in _items(image, "ContributingEquipmentSequence"):
        purposes = [code_of(each) for each in _items(item, "PurposeOfReferenceCodeSequence")]
        if any((code.value, code.scheme) == _PROCESSING for code in purposes):
            yield "processing equipment"
    if source.sop_class_uid in _CAD_REPORTS:
        yield "CAD report"
    for item in _items(image, "SegmentSequence"):
        if text_of(item, "SegmentAlgorithmType").upper() == "AUTOMATIC":
            yield "automatic segmentation"
    if any(_names_algorithm(item, 0) for keyword in _ALGORITHM_SEQUENCES for item in _items(image, keyword)) or any(
        _reports_algorithm(item, 0) for item in _items(image, "ContentSequence")
    ):
        yield "algorithm identification"


def _names_algorithm(item: Item, depth: int) -> bool:
    """Whether an Algorithm Identification Sequence (PS3.3 10.16) is in the item."""
    for keyword, element in item.items():
        nested = [each for each in element.values if isinstance(each, Mapping)]
        if nested and keyword.endswith("AlgorithmIdentificationSequence"):
            return True
        if depth < _DEEPEST and any(_names_algorithm(each, depth + 1) for each in nested):
            return True
    return False


def _reports_algorithm(item: Item, depth: int) -> bool:
    """Whether a report states an algorithm (PS3.16 TID 4019) in this content item or below it."""
    concepts = [code_of(each) for each in _items(item, "ConceptNameCodeSequence")]
    if any(code.scheme == "DCM" and code.value in _ALGORITHM for code in concepts):
        return True
    return depth < _DEEPEST and any(_reports_algorithm(each, depth + 1) for each in _items(item, "ContentSequence"))


def _items(item: Item, keyword: str) -> list[Item]:
    element = item.get(keyword)
    return [each for each in element.values if isinstance(each, Mapping)] if element else []


def _not_original(image: Item, source: InstanceSource, series: SeriesFacts) -> tuple[Datum, ...]:
    """Why it is no original image; nothing where it is one."""
    if any(True for _ in _signs(image, source, series)):
        return ("made by AI",)
    if source.sop_class_uid.startswith(_SECONDARY_CAPTURE):
        return ("secondary capture",)
    element = image.get("ImageType")
    kinds: list[Any] = [values.text(each) for each in (element.values if element else ()) if isinstance(each, str)]
    first, second = ([str(each).upper() for each in kinds[:2]] + ["", ""])[:2]
    processed = second != "SECONDARY" and values.text(series.modality) in _PROJECTION
    return ("derived",) if first == "DERIVED" and not processed else ()


MADE_BY_AI = FromSource(_KEYWORDS, _made_by_ai)
NOT_ORIGINAL = FromSource((*_KEYWORDS, "ImageType"), _not_original)
