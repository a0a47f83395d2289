"""What the child process of `node.desk.pictures` does: it alone imports what decodes pixels."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from node.results.pages.pictures import SegmentationSummary as SegmentationSummary

Box = tuple[int, int]
"""Width and height, in pixels, that a picture is to fit into."""


def picture(what: tuple[Path, int, Box]) -> bytes:
    """A frame of a file."""
    from node.results.pages import pictures

    return pictures.picture(*what)


def outlined(what: tuple[Path, Mapping[str, Path], int, Box]) -> bytes:
    """A slice of a kept result's segmentation."""
    from node.results.pages import pictures

    return pictures.outlined(*what)


def report(path: Path) -> list[str]:
    """The lines of a structured report."""
    from node.results.pages import pictures

    return pictures.report(path)


def segmentation(folder: Path) -> SegmentationSummary | None:
    """What can be looked at of a kept result's segmentation."""
    from node.results.pages import pictures

    return pictures.segmentation(folder)
