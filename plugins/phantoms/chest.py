"""A chest CT made by code, whose lung volumes and densities are known exactly.

Simple solids, so that the truth is a formula: each lung is a cylinder of superelliptic section with a
dome on top (apex) and a dome cut out of its base (diaphragm). Around them: skin, muscle, ribs, spine,
sternum, heart and aorta, trachea and main bronchi with walls, a gas bubble in the stomach, a table.
For tests of algorithms and for trying out a node; it looks like a chest, it is no model of one.

Coordinates are mm in LPS: x to the patient's left, y to the back, z to the head.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

RIGHT, LEFT = 1, 2
"""Values of `Chest.labels`."""

AIR, FAT, MUSCLE, WALL, LIVER = -1000, -100, 50, 20, 58
EMPHYSEMA, PARENCHYMA, JUNCTION = -980, -860, -720
"""HU; the junction between touching lungs is a membrane thinner than a voxel, so part lung, part tissue."""
_EXPONENT = 2.5
"""Of the superellipses: 2 is an ellipse, more is boxier."""


@dataclass(frozen=True, slots=True)
class Lung:
    """One lung: centre and half-axes of its section, heights of apex, cylinder and diaphragm dome (mm)."""

    label: int
    centre: tuple[float, float]
    half_axes: tuple[float, float]
    base: float
    cylinder: float
    apex: float
    diaphragm: float

    @property
    def volume_ml(self) -> float:
        """Section area times height; a half-ellipsoid dome has two thirds of its cylinder's volume."""
        a, b = self.half_axes
        area = 4 * a * b * math.gamma(1 + 1 / _EXPONENT) ** 2 / math.gamma(1 + 2 / _EXPONENT)
        return area * (self.cylinder + 2 / 3 * self.apex - 2 / 3 * self.diaphragm) / 1000

    def section(self, radius: NDArray[np.float32], z: float) -> NDArray[np.bool_]:
        """The lung in the plane at `z`; `radius` is 1 on the outline of the section."""
        height = z - self.base
        if not 0 <= height <= self.cylinder + self.apex:
            return np.zeros(radius.shape, dtype=np.bool_)
        above = max(0.0, height - self.cylinder) / self.apex
        inside = radius <= math.sqrt(1 - above**2)
        if height < self.diaphragm:
            inside &= radius > math.sqrt(1 - (height / self.diaphragm) ** 2)
        return inside


LUNGS = (
    Lung(RIGHT, (-82.0, 0.0), (52.0, 78.0), base=-110.0, cylinder=130.0, apex=90.0, diaphragm=50.0),
    Lung(LEFT, (83.0, 0.0), (48.0, 78.0), base=-115.0, cylinder=135.0, apex=90.0, diaphragm=45.0),
)

_Tube = tuple[tuple[float, float, float], tuple[float, float, float], float]
"""Ends and radius of a capsule."""
_AIRWAYS: tuple[_Tube, ...] = (
    ((0, 10, 150), (0, 10, 30), 9.0),
    ((0, 10, 30), (-42, 14, -5), 7.0),
    ((0, 10, 30), (48, 14, 0), 6.0),
)
_BLOOD: tuple[_Tube, ...] = (
    ((2, -25, -70), (4, -20, -25), 27.0),
    ((-5, -22, -20), (-3, -22, 50), 14.0),
    ((-3, -22, 58), (19, 42, 58), 12.0),
    ((19, 44, 58), (19, 44, -150), 12.0),
)


@dataclass(frozen=True)
class Densitometry:
    """What is true of one lung or of both: the numbers that an algorithm is held to."""

    volume_ml: float
    laa950_percent: float
    laa910_percent: float
    perc15_hu: float
    mean_hu: float


@dataclass(frozen=True)
class Chest:
    """A phantom: its settings, and what follows from them. The same settings give the same voxels."""

    size: int = 96
    """Rows and columns."""
    slice_mm: float = 4.0
    field_of_view_mm: float = 360.0
    noise_hu: float = 0.0
    emphysema: tuple[float, float] = (0.10, 0.10)
    """Share of the right and of the left lung at −980 HU."""
    blood_hu: float = 42.0
    touching: bool = False
    """Whether the lungs meet in front of the great vessels, with nothing but a thin membrane between them."""
    vessels: bool = False
    extent: tuple[float, float] = (-140.0, 135.0)
    """z of the first and the last slice."""
    seed: int = 1

    @property
    def pixel_mm(self) -> float:
        """Distance of rows and of columns."""
        return self.field_of_view_mm / self.size

    @cached_property
    def axes(self) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
        """z of the slices, y of the rows, x of the columns."""
        across = (np.arange(self.size, dtype=np.float64) - (self.size - 1) / 2) * np.float64(self.pixel_mm)
        count = int((self.extent[1] - self.extent[0]) / self.slice_mm) + 1
        along = np.float64(self.extent[0]) + np.arange(count, dtype=np.float64) * np.float64(self.slice_mm)
        return along, across, across

    @cached_property
    def labels(self) -> NDArray[np.uint8]:
        """1 in the right lung, 2 in the left; airways and their walls are in neither."""
        return self._built[0]

    @cached_property
    def array(self) -> NDArray[np.int16]:
        """HU, shape (slices, rows, columns), feet first."""
        return self._built[1]

    def truth(self, *labels: int) -> Densitometry:
        """The densitometry of one lung, or of both where both labels are given."""
        values = self.array[np.isin(self.labels, labels)]
        return Densitometry(
            volume_ml=values.size * self.pixel_mm**2 * self.slice_mm / 1000,
            laa950_percent=float(100 * (values < -950).mean()),
            laa910_percent=float(100 * (values < -910).mean()),
            perc15_hu=float(np.percentile(values, 15)),
            mean_hu=float(values.mean()),
        )

    @cached_property
    def _built(self) -> tuple[NDArray[np.uint8], NDArray[np.int16]]:
        random = np.random.default_rng(self.seed)
        z_axis = self.axes[0]
        shape = (len(z_axis), self.size, self.size)
        labels, array = np.zeros(shape, dtype=np.uint8), np.full(shape, AIR, dtype=np.float32)
        plane = _PhantomPlane(self.axes[1], self.axes[2])
        for index, z in enumerate(z_axis):
            plane.paint(float(z), array[index], labels[index], self)
        grid = _Grid(self.axes)
        for tube in _BLOOD:
            for box, inside in grid.capsule(*tube):
                array[box][inside & (labels[box] == 0)] = self.blood_hu
        for lung, share in zip(LUNGS, self.emphysema, strict=True):
            self._add_emphysema(array, labels, lung, share, grid, random)
            if self.vessels:
                self._add_vessels(array, labels, lung, grid, random)
        _add_airways(array, labels, grid)
        if self.noise_hu:
            self._add_noise(array, random)
        return labels, np.clip(np.round(array), -1024, 3071).astype(np.int16)

    def _add_emphysema(
        self,
        array: NDArray[np.float32],
        labels: NDArray[np.uint8],
        lung: Lung,
        share: float,
        grid: _Grid,
        random: np.random.Generator,
    ) -> None:
        """Holes of 3 to 9 mm, more of them towards the apex, until `share` of the lung is reached."""
        left = round(share * int((labels == lung.label).sum()))
        low = np.array([lung.centre[0] - lung.half_axes[0], lung.centre[1] - lung.half_axes[1], lung.base])
        size = np.array([2 * lung.half_axes[0], 2 * lung.half_axes[1], lung.cylinder + lung.apex])
        while left > 0:
            x, y, height = low + size * (random.random(), random.random(), math.sqrt(random.random()))
            centre = (float(x), float(y), float(height))
            for box, inside in grid.capsule(centre, centre, float(random.uniform(3, 9))):
                places = np.flatnonzero(inside & (labels[box] == lung.label) & (array[box] > EMPHYSEMA))[:left]
                part = array[box]
                part[np.unravel_index(places, part.shape)] = EMPHYSEMA
                left -= len(places)

    def _add_vessels(
        self,
        array: NDArray[np.float32],
        labels: NDArray[np.uint8],
        lung: Lung,
        grid: _Grid,
        random: np.random.Generator,
    ) -> None:
        """A tree of vessels from the hilum outwards; inside the lung they belong to it."""
        outwards = 1.0 if lung.label == LEFT else -1.0
        start = np.array([lung.centre[0] - outwards * (lung.half_axes[0] - 6), 8.0, -8.0])
        branches = [
            (start, direction, 26.0, 3.2) for direction in _spread(np.array([outwards, 0, 0.0]), 9, 1.2, random)
        ]
        while branches:
            begin, direction, length, radius = branches.pop()
            end = begin + direction * length
            for box, inside in grid.capsule(tuple(begin.tolist()), tuple(end.tolist()), radius):
                array[box][inside & (labels[box] == lung.label)] = self.blood_hu
            if radius > 1:
                branches += [
                    (end, turned, length * 0.84, radius * 0.72) for turned in _spread(direction, 2, 0.45, random)
                ]

    def _add_noise(self, array: NDArray[np.float32], random: np.random.Generator) -> None:
        """Gaussian noise of the given standard deviation, correlated in the plane as a reconstruction kernel does."""
        for index in range(len(array)):
            white = random.standard_normal(array[index].shape, dtype=np.float32)
            noise = ndimage.gaussian_filter(white, 0.6, mode="wrap")
            array[index] += noise * np.float32(self.noise_hu / noise.std())


def _spread(
    direction: NDArray[np.float64], count: int, angle: float, random: np.random.Generator
) -> Iterator[NDArray[np.float64]]:
    for _ in range(count):
        turned = direction + random.normal(0, angle, 3)
        yield turned / np.linalg.norm(turned)


def _add_airways(array: NDArray[np.float32], labels: NDArray[np.uint8], grid: _Grid) -> None:
    for begin, end, radius in _AIRWAYS:
        for box, inside in grid.capsule(begin, end, radius + 1.5, flat_end=True):
            array[box][inside] = WALL
            labels[box][inside] = 0
    for begin, end, radius in _AIRWAYS:
        for box, inside in grid.capsule(begin, end, radius, flat_end=True):
            array[box][inside] = AIR


class _PhantomPlane:
    """What is drawn slice by slice: everything that is a section of constant outline."""

    def __init__(self, y: NDArray[np.float64], x: NDArray[np.float64]) -> None:
        self.x, self.y = np.meshgrid(x.astype(np.float32), y.astype(np.float32))
        self.radii = [self._radius(lung.centre, lung.half_axes, _EXPONENT) for lung in LUNGS]
        self.skin, self.inside, self.rib = (
            self._radius((0, 0), axes, 2.6) for axes in ((172, 122), (158, 108), (148, 98))
        )
        self.vertebra = self._radius((0, 70), (20, 16), 2.2)
        self.canal = self._radius((0, 96), (9, 8), 2)
        self.sternum = self._radius((0, -101), (17, 5), 3)
        self.stomach = self._radius((82, -12), (26, 22), 2)
        self.table = (np.abs(self.x) < 165) & (np.abs(self.y - 128 - (self.x / 100) ** 2 * -3) < 3)

    def _radius(self, centre: tuple[float, float], axes: tuple[float, float], exponent: float) -> NDArray[np.float32]:
        across, down = np.abs((self.x - centre[0]) / axes[0]), np.abs((self.y - centre[1]) / axes[1])
        return np.asarray((across**exponent + down**exponent) ** (1 / exponent), dtype=np.float32)

    def paint(self, z: float, image: NDArray[np.float32], labels: NDArray[np.uint8], chest: Chest) -> None:
        image[self.table] = -150
        image[self.skin <= 1] = FAT
        image[self.inside <= 1] = MUSCLE
        slanted = (z + 0.3 * self.y) % 26 < 9
        image[(np.abs(self.rib - 1) < 0.035) & slanted] = 320
        image[self.sternum <= 1] = 180
        bone = self.vertebra <= 1
        image[bone] = 170 if z % 32 > 5 else 80
        image[bone & (self.vertebra > 0.88)] = 380
        image[self.canal <= 1] = 15
        image[(self.radii[0] <= 1) & (z < LUNGS[0].base + LUNGS[0].diaphragm)] = LIVER
        if abs(z + 104) < 14:
            image[self.stomach <= math.sqrt(1 - ((z + 104) / 14) ** 2)] = AIR
        parenchyma = PARENCHYMA + 0.25 * self.y  # the lower parts are denser, as in a patient on the back
        for lung, radius in zip(LUNGS, self.radii, strict=True):
            inside = lung.section(radius, z)
            labels[inside] = lung.label
            image[inside] = parenchyma[inside]
        if chest.touching and 4 < z < 32:
            self._join(image, labels, parenchyma, chest.pixel_mm)

    def _join(
        self, image: NDArray[np.float32], labels: NDArray[np.uint8], parenchyma: NDArray[np.float32], pixel_mm: float
    ) -> None:
        """Lung in front of the great vessels up to the midline, where the two sides touch."""
        bridge = (labels == 0) & (self.y > -66) & (self.y < -40) & (np.abs(self.x) < 60)
        image[bridge] = parenchyma[bridge]
        labels[bridge] = np.where(self.x[bridge] > 0, LEFT, RIGHT)
        image[bridge & (np.abs(self.x) < pixel_mm)] = JUNCTION


class _Grid:
    """Draws solids that cross slices, each in the box it fills."""

    def __init__(self, axes: tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]) -> None:
        self.axes = axes

    def capsule(
        self,
        begin: tuple[float, ...],
        end: tuple[float, ...],
        radius: float,
        flat_end: bool = False,
    ) -> Iterator[tuple[tuple[slice, ...], NDArray[np.bool_]]]:
        """The box around a capsule and which of its voxels are inside; nothing where it is off the grid."""
        first, second = np.array(begin[::-1], dtype=np.float64), np.array(end[::-1], dtype=np.float64)
        box = []
        for axis, low, high in zip(self.axes, np.minimum(first, second), np.maximum(first, second), strict=True):
            start, stop = np.searchsorted(axis, [low - radius, high + radius])
            box.append(slice(int(start), int(stop)))
        grids = np.meshgrid(
            *(axis[part] for axis, part in zip(self.axes, box, strict=True)), indexing="ij", sparse=True
        )
        if any(part.start == part.stop for part in box):
            return
        line = second - first
        length = float(line @ line)
        offsets = [grid - origin for grid, origin in zip(grids, first, strict=True)]
        along = sum(offset * part for offset, part in zip(offsets, line, strict=True)) / (length or 1.0)
        nearest = np.clip(along, 0, 1) if length else np.zeros_like(along)
        distance = sum((offset - nearest * part) ** 2 for offset, part in zip(offsets, line, strict=True))
        inside = distance <= radius**2
        if flat_end:
            inside &= along <= 1
        yield tuple(box), inside
