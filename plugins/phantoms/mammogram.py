"""A mammogram of four views: two breasts, a mass and a cluster of calcifications, each on both views of its side.

Places within a breast are mm: from the chest wall towards the nipple, up from the nipple's height, and outwards from
its middle. The cranio-caudal view looks along the second, the oblique one (here from the side) along the third.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydicom import Sequence
from pydicom.uid import DigitalMammographyXRayImageStorageForPresentation
from scipy import ndimage

from plugins.codes import BREAST
from plugins.coding import Code
from plugins.phantoms.files import PhantomOrder, PhantomSeries, add_radiograph, coded, saved

VIEWS = (("R", "CC"), ("L", "CC"), ("R", "MLO"), ("L", "MLO"))
"""Laterality and view of the four images, in the order in which they are written."""
_VIEW_CODES = {
    "CC": Code("399162004", "SCT", "cranio-caudal"),
    "MLO": Code("399368009", "SCT", "medio-lateral oblique"),
}
_ORIENTATIONS = {
    ("R", "CC"): ["P", "L"],
    ("L", "CC"): ["A", "R"],
    ("R", "MLO"): ["P", "F"],
    ("L", "MLO"): ["A", "F"],
}
_DEPTH_MM, _HALF_WIDTH_MM, _THICKNESS_MM = 95.0, {"CC": 75.0, "MLO": 85.0}, 50.0


@dataclass(frozen=True, slots=True)
class BreastLesion:
    """A round mass, or a cluster of calcifications within a sphere."""

    laterality: str
    """L or R."""
    kind: str
    """`mass` or `calcifications`."""
    place: tuple[float, float, float]
    """mm from the chest wall, up, outwards."""
    diameter_mm: float


@dataclass(frozen=True)
class MammogramPhantom:
    """Four views with their lesions. The same settings give the same pixels."""

    rows: int = 640
    columns: int = 400
    pixel_mm: float = 0.3
    lesions: tuple[BreastLesion, ...] = (
        BreastLesion("R", "mass", (48.0, 20.0, 14.0), 15.0),
        BreastLesion("L", "calcifications", (55.0, -12.0, -18.0), 12.0),
    )
    seed: int = 1

    def mask(self, lesion: BreastLesion, laterality: str, view: str) -> NDArray[np.bool_]:
        """Where the lesion is on a view; nowhere on those of the other side."""
        if lesion.laterality != laterality:
            return np.zeros((self.rows, self.columns), bool)
        return self._away(lesion, view, laterality) <= lesion.diameter_mm / 2

    def _grid(self, laterality: str) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """mm from the chest wall, and mm downwards from the middle row, of each pixel; the wall is at the edge."""
        rows, columns = np.mgrid[: self.rows, : self.columns]
        depth = (columns + 0.5) * self.pixel_mm
        return (depth[:, ::-1] if laterality == "R" else depth), (rows + 0.5 - self.rows / 2) * self.pixel_mm

    def _away(self, lesion: BreastLesion, view: str, laterality: str) -> NDArray[np.float64]:
        depth, down = self._grid(laterality)
        forward, up, out = lesion.place
        # rows of a cranio-caudal view go to the patient's left (right breast) or right (left breast): inwards for both
        middle = -out if view == "CC" else -up
        return np.hypot(depth - forward, down - middle)

    @cached_property
    def pixels(self) -> dict[tuple[str, str], NDArray[np.uint16]]:
        """(laterality, view) → 12 bits, (rows, columns): dense tissue is white."""
        return {(side, view): self._view(number, side, view) for number, (side, view) in enumerate(VIEWS)}

    def _view(self, number: int, laterality: str, view: str) -> NDArray[np.uint16]:
        random = np.random.default_rng((self.seed, number))
        depth, down = self._grid(laterality)
        edge = 1 - (depth / _DEPTH_MM) ** 2 - (down / _HALF_WIDTH_MM[view]) ** 2
        thickness = _THICKNESS_MM * np.sqrt(np.clip(edge * 4, 0, 1))
        tissue = sum(
            ndimage.gaussian_filter(random.standard_normal(depth.shape), width / self.pixel_mm) * width
            for width in (1.5, 4.0, 9.0)
        )
        dense = np.clip(0.35 + 0.5 * np.asarray(tissue) / np.std(tissue) * 0.5, 0, 1) * np.clip(edge * 1.6, 0, 1)
        image = thickness * (18 + 22 * dense)
        for lesion in self.lesions:
            if lesion.laterality == laterality:
                image += self._shadow(lesion, view, laterality, random)
        image += np.where(thickness > 0, random.normal(0, 9, depth.shape), 0)
        return np.clip(np.round(image), 0, 4095).astype(np.uint16)

    def _shadow(
        self, lesion: BreastLesion, view: str, laterality: str, random: np.random.Generator
    ) -> NDArray[np.float64]:
        away, radius = self._away(lesion, view, laterality), lesion.diameter_mm / 2
        if lesion.kind == "mass":
            return np.asarray(130 * np.sqrt(np.clip(radius**2 - away**2, 0, None)))
        shown = np.zeros(away.shape)
        within = np.argwhere(away <= radius - 1)
        for row, column in within[random.choice(len(within), 14, replace=False)]:
            shown[row : row + 2, column : column + 2] = 1400
        return shown

    def write(self, folder: Path, order: PhantomOrder | None = None) -> list[Path]:
        """Four files, in the order of `VIEWS`."""
        order = order or PhantomOrder(patient_name="Phantom^Breast")
        paths = []
        for number, (side, view) in enumerate(VIEWS):
            series = PhantomSeries(
                "MG", DigitalMammographyXRayImageStorageForPresentation, "Screening", "BREAST", repr(self), order
            )
            dataset = series.instance(number, self.pixels[side, view])
            add_radiograph(dataset, self.pixel_mm, side, BREAST)
            dataset.PositionerType, dataset.OrganExposed = "MAMMOGRAPHIC", "BREAST"
            dataset.ViewCodeSequence = coded(_VIEW_CODES[view], ViewModifierCodeSequence=Sequence())
            dataset.PatientOrientation = _ORIENTATIONS[side, view]
            dataset.KVP, dataset.BreastImplantPresent = 28, "NO"
            paths.append(saved(dataset, folder, number + 1))
        return paths
