"""Lossy compression that the images went through: what is made of them says so too (PS3.3 C.7.6.1.1.5)."""

from __future__ import annotations

from collections.abc import Sequence

from pydicom import Dataset
from pydicom.multival import MultiValue

from node.dicom.marks import SURELY_LOSSY
from node.results.source.copying import readable
from node.results.source.images import SourceImage
from node.results.source.values import problem_of


def state_lossy_compression(made: Dataset, sources: Sequence[SourceImage]) -> None:
    """Say that it was lossy, if it was for any source; ratio and method if they are right and the same for all."""
    lossy = [
        image
        for image in sources
        if image.code("LossyImageCompression") == "01" or image.transfer_syntax in SURELY_LOSSY
    ]
    made.LossyImageCompression = "01" if lossy else "00"
    for keyword, vr in (("LossyImageCompressionRatio", "DS"), ("LossyImageCompressionMethod", "CS")):
        values = {_values(image, keyword, vr) for image in lossy}
        if len(values) == 1 and (value := values.pop()):
            setattr(made, keyword, list(value))


def _values(image: SourceImage, keyword: str, vr: str) -> tuple[str, ...]:
    """None where one of them is wrong."""
    value = readable(image.header, keyword)
    parts = [str(part) for part in (value if isinstance(value, MultiValue) else [value] if value else [])]
    return tuple(parts) if all(part and not problem_of(vr, part) for part in parts) else ()
