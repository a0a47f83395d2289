"""Which view of a breast an image is (PS3.3 C.8.11.7.1: View Code Sequence is Type 1, View Position is not)."""

from __future__ import annotations

from node.results.source.copying import readable, readable_items
from node.results.source.images import SourceImage
from rules.derived import VIEW_OF_CODE


def view_of(image: SourceImage) -> str:
    """CC, MLO, ML and so on by the view's code, else View Position; empty where neither says it."""
    codes = [str(readable(code, "CodeValue")) for code in readable_items(image.header, "ViewCodeSequence")]
    coded = [VIEW_OF_CODE[code].upper() for code in codes if code in VIEW_OF_CODE]
    return coded[0] if coded else image.code("ViewPosition")


def is_modified(image: SourceImage) -> bool:
    """Whether the view has a modifier: spot compression, magnification, implant displaced and so on (CID 4015)."""
    views = readable_items(image.header, "ViewCodeSequence")
    return any(readable_items(view, "ViewModifierCodeSequence") for view in views)
