"""Masks and maps that a program wrote, on the grid of its images.

They are in files of the attempt's folder, never in memory as a whole.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from node.run.nifti import files, grids
from node.run.nifti.files import NiftiFile
from node.run.nifti.grids import GridError, SourceGrid
from node.run.nifti.headers import MOST_VOXELS
from plugins.labels import label_counts
from plugins.nifti_mapping import MappedHeatmap, MappedSegment, NiftiFolders

_IDENTICAL = 0.05
"""Share of a voxel by which the same voxel may be off: affines are float32."""
_OVER = 1e-3
"""By which a probability may leave its range: rounding, which is cut off."""
_Planes = Iterator[tuple[int, NDArray[Any]]]


@dataclass
class MaskStack:
    """The segments of one result on the grid of its images."""

    labels: NDArray[Any]
    """(slices, rows, columns): the number of the segment, which is its place in the mapping, counted from 1."""
    voxels: Counter[int] = field(default_factory=Counter)
    """Of each segment."""
    uncovered: set[int] = field(default_factory=set)
    """Segments whose file does not cover all of the images: that they are empty says less."""
    resampled: set[str] = field(default_factory=set)
    """Files that were on another grid."""


@dataclass(frozen=True)
class GridReader:
    """Reads files of one `out/` onto one grid."""

    folder: int
    """`out/`, which is open."""
    grid: SourceGrid
    work: Path
    """A folder for what does not fit into memory."""

    def masks(self, mapping: NiftiFolders) -> MaskStack:
        """All segments; ExchangeError where a file cannot be believed."""
        segments = mapping.segments
        dtype = np.uint8 if len(segments) < 256 else np.uint16
        stack = MaskStack(self._array("labels", self.grid.shape, dtype))
        if mapping.label_map:
            self._add_label_map(stack, mapping)
        for number, segment in enumerate(segments, start=1):
            if segment.file:
                self._add_mask(stack, number, segments)
        return stack

    def heatmap(self, mapped: MappedHeatmap, number: int) -> NDArray[np.float32]:
        """The values of one map: (slices, rows, columns); ExchangeError."""
        values = self._array(f"values-{number}", self.grid.shape, np.float32)
        with files.opened(self.folder, mapped.file, self._most) as file:
            if not grids.covers(self.grid, file.head.shape, file.head.affine):
                raise file.error("does not cover the images, and says nothing of the rest")
            for z, plane in self._on_grid(file, _values(file, mapped), np.float32, labels=False):
                values[z] = plane
        return values

    @property
    def _most(self) -> int:
        return max(MOST_VOXELS, self.grid.voxels)

    def _array(self, name: str, shape: tuple[int, ...], dtype: Any) -> NDArray[Any]:
        """Zeros in a file, which the kernel may write out and forget."""
        return np.memmap(self.work / name, dtype, "w+", shape=shape)

    def _add_label_map(self, stack: MaskStack, mapping: NiftiFolders) -> None:
        numbers = {
            each.label: number for number, each in enumerate(mapping.segments, start=1) if each.label is not None
        }
        table = np.zeros(2**16, stack.labels.dtype)
        for label, number in numbers.items():
            table[label] = number
        known = {0, *numbers, *mapping.ignored_labels}
        with files.opened(self.folder, mapping.label_map, self._most) as file:
            written, found = Counter[int](), Counter[int]()
            for z, plane in self._labels_on_grid(file, _counted(file.labels(), written), stack):
                _count(plane, found)
                stack.labels[z] = table[plane]
            if unknown := sorted(written.keys() - known):
                raise file.error(
                    f"has the label {unknown[0]}, which no [[nifti.segments]] of the manifest describes and "
                    "[nifti.labels] does not ignore"
                )
            for label, number in numbers.items():
                self._note(stack, mapping.segments, number, (written[label], found[label]), file)

    def _add_mask(self, stack: MaskStack, number: int, segments: Sequence[MappedSegment]) -> None:
        with files.opened(self.folder, segments[number - 1].file, self._most) as file:
            written, found = Counter[int](), 0
            for z, plane in self._labels_on_grid(file, _counted(file.labels(), written), stack):
                mask = plane != 0
                taken = stack.labels[z][mask]
                if taken.any():
                    other = segments[int(taken[taken != 0][0]) - 1].name
                    raise file.error(f"overlaps with {other!r}: a voxel has one segment")
                stack.labels[z][mask] = number
                found += int(np.count_nonzero(mask))
            values = sorted(written.keys() - {0})
            if len(values) > 1:
                raise file.error(f"has the values {values[0]} and {values[1]}: a mask has 0 and one other")
            self._note(stack, segments, number, (written[values[0]] if values else 0, found), file)

    def _note(
        self,
        stack: MaskStack,
        segments: Sequence[MappedSegment],
        number: int,
        voxels: tuple[int, int],
        file: NiftiFile,
    ) -> None:
        """Put down the voxels of a segment, in the file and on the grid; what the file has must not vanish."""
        written, found = voxels
        if written and not found:
            raise file.error(
                f"has {written} voxels of {segments[number - 1].name!r}, and none of them is on the images' grid: they "
                "are smaller than a voxel of the images; write the mask on the grid of the input"
            )
        stack.voxels[number] = found
        if not grids.covers(self.grid, file.head.shape, file.head.affine):
            stack.uncovered.add(number)

    def _labels_on_grid(self, file: NiftiFile, planes: Iterator[NDArray[Any]], stack: MaskStack) -> _Planes:
        if not self._is_same(file):
            stack.resampled.add(file.name)
        return self._on_grid(file, planes, np.uint16, labels=True)

    def _is_same(self, file: NiftiFile) -> bool:
        """Whether its voxels are those of the images, its axes perhaps exchanged."""
        probe = np.broadcast_to(np.uint8(0), file.head.shape)
        return grids.aligned(self.grid, probe, file.head.affine) is not None

    def _on_grid(self, file: NiftiFile, planes: Iterator[NDArray[Any]], dtype: Any, *, labels: bool) -> _Planes:
        """What the planes (j, i) of a file are on the slices of the grid; ExchangeError."""
        affine, shape = file.head.affine, file.head.shape
        try:
            grids.refuse_elsewhere(self.grid, shape, affine)
        except GridError as error:
            raise file.error(str(error)) from error
        is_same = self._is_same(file)
        if is_same and self._is_in_order(file):
            yield from enumerate(planes)
            return
        spool = self._array("spool", shape[::-1], dtype)
        for number, plane in enumerate(planes):
            spool[number] = plane
        if is_same:
            turned = grids.aligned(self.grid, spool.transpose(2, 1, 0), affine)
            assert turned is not None, file.name
            yield from enumerate(turned)
            return
        if labels:
            outside = grids.farthest_outside(self.grid, enumerate(spool), affine)
            if outside > np.linalg.norm(affine[:3, :3], axis=0).max():
                raise file.error(f"has labelled voxels up to {outside:.0f} mm outside of the images")
        yield from grids.resampled(self.grid, spool, affine, labels=labels)

    def _is_in_order(self, file: NiftiFile) -> bool:
        """Whether its planes are the slices of the images, one after the other."""
        across = np.linalg.inv(self.grid.matrix) @ file.head.affine
        return bool(np.abs(across[:3, :3] - np.eye(3)).max() <= _IDENTICAL)


def _counted(planes: Iterator[NDArray[np.uint16]], counts: Counter[int]) -> Iterator[NDArray[np.uint16]]:
    """The planes, whose labels are counted as they pass."""
    for plane in planes:
        _count(plane, counts)
        yield plane


def _count(plane: NDArray[np.uint16], counts: Counter[int]) -> None:
    found = label_counts(plane)
    for label in np.flatnonzero(found):
        counts[int(label)] += int(found[label])


def _values(file: NiftiFile, mapped: MappedHeatmap) -> Iterator[NDArray[np.float32]]:
    """The planes as numbers within their range."""
    low, high = mapped.minimum, mapped.maximum
    for plane in file.planes():
        if not np.isfinite(plane).all():
            raise file.error("has voxels that are not finite numbers (NaN or infinite)")
        least, most = float(plane.min()), float(plane.max())
        if (low is not None and least < low - _OVER) or (high is not None and most > high + _OVER):
            raise file.error(f"has values from {least:g} to {most:g}, outside of the range that the manifest says")
        with np.errstate(over="ignore"):
            values = plane.astype(np.float32)
        if not np.isfinite(values).all():
            raise file.error("has values greater than 3.4e38")
        yield np.clip(values, low, high) if (low, high) != (None, None) else values
