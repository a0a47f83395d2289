"""What a program with NIfTI folders leaves, without a program: its `out/`, the grid of its images, and its manifest."""

from __future__ import annotations

import gzip
from dataclasses import replace
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
from numpy.typing import NDArray

from node.run.nifti import reading
from node.run.nifti.grids import RAS, SourceGrid
from node.run.nifti.reading import NiftiAnswer
from plugins.coding import Code, Unit
from plugins.exchange import OutputReading
from plugins.images import ImageReference
from plugins.nifti_mapping import EmptyMask, MappedHeatmap, MappedNumber, MappedSegment, NiftiFolders, NiftiInput

NODULE = Code("27925004", "SCT", "Nodule")
LIVER = Code("10200004", "SCT", "Liver")
ABNORMAL = Code("49755003", "SCT", "Morphologically Abnormal Structure")
ORGAN = Code("91723000", "SCT", "Anatomical Structure")
SCORE = Code("111012", "DCM", "Certainty of Finding")
ATTENUATION = Code("112031", "DCM", "Attenuation Coefficient")
SALIENCY = Code("130404", "DCM", "Saliency")
HU = Unit("[hnsf'U]")


def grid(shape: tuple[int, int, int] = (6, 20, 30), spacing=(3.0, 0.5, 0.8), turned: float = 0.0) -> SourceGrid:
    """Slices, rows and columns, turned by an angle about x and the same about z, from an odd origin."""
    c, s = np.cos(turned), np.sin(turned)
    turn = np.array([[c, -s, 0], [s, c, 0], [0, 0, 1]]) @ np.array([[1, 0, 0], [0, c, -s], [0, s, c]])
    affine = np.eye(4)
    affine[:3, :3] = turn * np.array(spacing[::-1])
    affine[:3, 3] = (-11.5, 42.25, 7)
    rows = tuple(tuple(map(float, row)) for row in affine)
    frames = tuple(ImageReference(f"1.2.3.{number}") for number in range(shape[0]))
    return SourceGrid(shape, spacing, rows, rows, frames, "CT", "HU")


def segment(name: str = "Nodule", **keys: Any) -> MappedSegment:
    """A nodule of label 1, unless something else is said."""
    known: dict[str, Any] = {"type": NODULE, "category": ABNORMAL, "label": 1, "finding": NODULE}
    return MappedSegment(name, **(known | keys))


def organ(name: str, file: str, type: Code = LIVER) -> MappedSegment:
    """An organ in a file of its own, which is measured."""
    return MappedSegment(name, type, ORGAN, file=file)


def number(column: str, file: str = "numbers.csv", **keys: Any) -> MappedNumber:
    """A mean attenuation of a nodule, unless something else is said."""
    known: dict[str, Any] = {"concept": ATTENUATION, "unit": HU, "finding": NODULE}
    return MappedNumber(file, column, **(known | keys))


def score(column: str, file: str = "numbers.csv", **keys: Any) -> MappedNumber:
    """How sure it is of a nodule; present from 0.5 on."""
    known: dict[str, Any] = {"concept": SCORE, "unit": Unit("1"), "finding": NODULE, "is_score": True, "threshold": 0.5}
    return MappedNumber(file, column, **(known | keys))


def heatmap(file: str = "probability.nii.gz") -> MappedHeatmap:
    """Values from 0 to 1."""
    return MappedHeatmap(file, "Probability", SALIENCY, Unit("1"), 0.0, 1.0)


def folders(*segments: MappedSegment, **keys: Any) -> NiftiFolders:
    """What a manifest says that has one input; a label map where a segment has a label."""
    labels = "seg.nii.gz" if any(each.label for each in segments) else ""
    return NiftiFolders((NiftiInput("image.nii.gz"),), 0, **({"label_map": labels, "segments": segments} | keys))


def absent_if_empty(mapped: MappedSegment) -> MappedSegment:
    """The same, whose empty mask says that there is none."""
    return replace(mapped, empty=EmptyMask.ABSENT)


class NiftiRoom:
    """An attempt's folder after its program."""

    def __init__(self, folder: Path, of: SourceGrid) -> None:
        self.folder, self.grid = folder, of
        self.out = folder / "out"
        self.out.mkdir()

    def image(self, array: NDArray[Any], affine: NDArray[np.float64] | None = None) -> Any:
        """An image of nibabel; `array`: (slices, rows, columns), by default on the grid of the images."""
        where = RAS @ (self.grid.matrix if affine is None else affine)
        made = nibabel.Nifti1Image(array.transpose(2, 1, 0), where, dtype=array.dtype)
        made.header.set_xyzt_units("mm")
        return made

    def save(self, array: NDArray[Any], name: str = "seg.nii.gz") -> Path:
        """A file on the grid of the images."""
        nibabel.save(self.image(array), self.out / name)
        return self.out / name

    def raw(self, array: NDArray[Any]) -> bytearray:
        """The bytes of an uncompressed file, to be spoilt."""
        return bytearray(self.image(array).to_bytes())

    def write(self, content: bytes | bytearray, name: str = "seg.nii.gz") -> Path:
        """These bytes, compressed where the name says so."""
        packed = gzip.compress(bytes(content), 1) if name.endswith(".gz") else bytes(content)
        (self.out / name).write_bytes(packed)
        return self.out / name

    def answer(self, said: NiftiFolders) -> NiftiAnswer:
        """What is to be read."""
        return NiftiAnswer(self.folder, said, self.grid, has_segmentation=True)

    def read(self, said: NiftiFolders) -> OutputReading:
        """What the node makes of it; ExchangeError."""
        return reading.read(self.answer(said))
