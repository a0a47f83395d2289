"""Masses that both standard views of a breast show. A teaching example, not a medical device.

Read from the top: `BreastMasses.analyse` is the whole of it. README.md has the method, its limits and figures.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydicom import Dataset
from pydicom.uid import DigitalMammographyXRayImageStorageForPresentation
from scipy import ndimage

from plugins import codes
from plugins.contract import (
    Code,
    Ellipse,
    Finding,
    Measurement,
    NotApplicableError,
    Parameters,
    Result,
    ResultStatus,
    Score,
    Site,
    Study,
)
from plugins.projections import Projection, projections

CONSPICUITY = Code("CONSPICUITY", "99EXAMPLE", "Conspicuity of a mass", (("ko", "종괴의 두드러짐"),))
BREAST_WITH_MASS = Code(
    "BREAST_WITH_MASS", "99EXAMPLE", "Mass seen on both views of the breast", (("ko", "두 영상에서 보이는 종괴"),)
)
NOTICE = "Teaching example, not a medical device: not for diagnosis."
SIDES = {"R": ("Right", codes.RIGHT), "L": ("Left", codes.LEFT)}
VIEWS = {"399162004": "CC", "R-10242": "CC", "399368009": "MLO", "R-10226": "MLO"}
"""View for Mammography (PS3.16 CID 4014): SNOMED CT, and SNOMED-RT as older images have it."""
HARMLESS_MODIFIERS = {"442581004", "R-40AB3", "442593008", "R-40ABE"}
"""Nipple in profile, infra-mammary fold (CID 4015): still the whole breast, as large as ever."""
SIDE_CODES = {"24028007": "R", "G-A100": "R", "7771000": "L", "G-A101": "L", "51440002": "B", "G-A102": "B"}
GRID_MM = 0.5
RADII_MM = (4.0, 5.5, 7.5, 10.0)
SAME_DEPTH_MM = 8.0
"""How much the distance from the nipple may differ between the views of one mass."""
SAME_SIZE = 1.8
"""By what factor its diameter may."""


class BreastMasses:
    """One score for each breast, and each mass marked on both of its views."""

    def analyse(self, study: Study, parameters: Parameters) -> Result:
        """Needs CC and MLO of both breasts, for presentation; refuses whatever leaves a side in doubt."""
        files = [file for series in study.series for file in series.files]
        headers = [header for series in study.series for header in series.headers()]
        views = standard_views(headers, files)
        threshold = parameters["threshold"]
        findings = [
            finding
            for side in SIDES
            for finding in findings_of(side, masses_of(views[side, "CC"], views[side, "MLO"]), threshold)
        ]
        found = [finding for finding in findings if finding.code == codes.MASS]
        return Result(
            ResultStatus.FINDINGS if found else ResultStatus.NO_FINDINGS,
            f"{in_words(found)} {NOTICE}",
            findings=tuple(findings),
            quality=("Calcifications, distortions and masses that one view alone shows are not looked for.",),
        )


# --- which images: the four standard views, or the reason why not ------------------------------------


@dataclass(frozen=True)
class View:
    """One standard view as it is seen."""

    shown: Projection
    wall_is_left: bool
    """Whether the chest wall is at the left edge of the image."""

    @property
    def pixel_mm(self) -> float:
        """In the patient."""
        spacing = self.shown.patient_spacing
        if spacing is None or abs(spacing[0] - spacing[1]) > 0.01 * spacing[0]:
            raise NotApplicableError("The size of a pixel in the patient is not known, or pixels are not square.")
        return spacing[0]


def standard_views(headers: Sequence[Dataset], files: Sequence[Path]) -> dict[tuple[str, str], View]:
    """("R", "CC") and so on → the image; NotApplicableError where one is missing, or a side is not certain."""
    chosen: dict[tuple[str, str], View] = {}
    aside = []
    for header, file in zip(headers, files, strict=True):
        if header.get("BreastImplantPresent") == "YES":
            raise NotApplicableError("There is a breast implant (Breast Implant Present).")
        if reason := why_not_standard(header):
            aside.append(reason)
            continue
        key = side_of(header), view_of(header)
        if key in chosen:
            raise NotApplicableError(f"There are two images of {' '.join(key)}: which one counts is not known.")
        chosen[key] = View(projections([file])[0], wall_is_left(header))
    missing = [f"{side} {view}" for view, side in product(("CC", "MLO"), SIDES) if (side, view) not in chosen]
    if missing:
        unused = f" Not used: {', '.join(sorted(set(aside)))}." if aside else ""
        raise NotApplicableError(f"Not all four standard views are there: {', '.join(missing)} missing.{unused}")
    return chosen


def why_not_standard(header: Dataset) -> str:
    """Why an image is no standard view, "" where it is one: for processing, spot compression, a part of the breast."""
    intent = str(header.get("PresentationIntentType") or "")
    if header.get("SOPClassUID") != DigitalMammographyXRayImageStorageForPresentation or intent == "FOR PROCESSING":
        return intent.lower() or str(getattr(header.get("SOPClassUID"), "name", "an image of no stated kind"))
    modifiers = [
        each for code in header.get("ViewCodeSequence") or () for each in code.get("ViewModifierCodeSequence") or ()
    ]
    for modifier in modifiers:
        if modifier.get("CodeValue") not in HARMLESS_MODIFIERS:
            return str(modifier.get("CodeMeaning") or "a modified view").lower()
    if header.get("PartialView") == "YES":
        return "a view of a part of the breast"
    if float(header.get("EstimatedRadiographicMagnificationFactor") or 1) > 1.2:
        return "a magnified view"
    return "" if view_of(header) else "another view"


def view_of(header: Dataset) -> str:
    """CC or MLO by the view's code, else by View Position; "" for others, and where the two contradict."""
    coded = [VIEWS.get(str(code.get("CodeValue")), "other") for code in header.get("ViewCodeSequence") or ()]
    said = {*coded, str(header.get("ViewPosition") or "")} - {""}
    return said.pop() if len(said) == 1 and said <= {"CC", "MLO"} else ""


def side_of(header: Dataset) -> str:
    """R or L, where everything that names a side names the same one; NotApplicableError."""
    regions = header.get("AnatomicRegionSequence") or ()
    modifiers = [each for region in regions for each in region.get("AnatomicRegionModifierSequence") or ()]
    coded = [SIDE_CODES.get(str(each.get("CodeValue")), "") for each in modifiers]
    said = {str(header.get(keyword) or "") for keyword in ("ImageLaterality", "Laterality")} | set(coded)
    sides = said - {""}
    if len(sides) != 1 or not sides <= set(SIDES):
        told = " and ".join(sorted(sides)) or "none"
        raise NotApplicableError(f"Which breast an image shows is not certain (sides named: {told}).")
    return sides.pop()


def wall_is_left(header: Dataset) -> bool:
    """Whether rows run from the chest wall to the front (Patient Orientation A), not back (P); NotApplicableError."""
    along_rows = str((header.get("PatientOrientation") or [""])[0])[:1]
    if along_rows not in ("A", "P"):
        raise NotApplicableError(
            f"Rows of an image run towards {along_rows or 'nobody knows where'} (Patient Orientation), not A or P: "
            "where the chest wall is, is not known."
        )
    return along_rows == "A"


# --- what is on them: round and brighter than its surroundings, as deep on both views ---------------


@dataclass(frozen=True)
class Spot:
    """Something round on one view."""

    conspicuity: float
    """Its contrast to what surrounds it, in standard deviations of such contrasts within this breast."""
    ellipse: Ellipse
    diameter_mm: float
    depth_mm: float
    """Behind the nipple."""


@dataclass(frozen=True)
class Mass:
    """The same spot on both views."""

    cc: Spot
    mlo: Spot

    @property
    def conspicuity(self) -> float:
        """That of the view that shows it worse."""
        return min(self.cc.conspicuity, self.mlo.conspicuity)


def masses_of(cc: View, mlo: View) -> list[Mass]:
    """Pairs of spots that may be one mass, the most conspicuous first; each spot is of one mass."""
    pairs = [Mass(*pair) for pair in product(spots(cc), spots(mlo)) if is_one_mass(*pair)]
    masses: list[Mass] = []
    for pair in sorted(pairs, key=lambda each: -each.conspicuity):
        if not any(pair.cc is known.cc or pair.mlo is known.mlo for known in masses):
            masses.append(pair)
    return masses


def is_one_mass(first: Spot, second: Spot) -> bool:
    """Whether two views may show the same: as far from the nipple, and as large."""
    larger, smaller = sorted((first.diameter_mm, second.diameter_mm), reverse=True)
    return abs(first.depth_mm - second.depth_mm) <= SAME_DEPTH_MM and larger <= SAME_SIZE * smaller


def spots(view: View) -> Iterator[Spot]:
    """Round spots of a view."""
    pixel_mm = view.pixel_mm
    step = max(1, round(GRID_MM / pixel_mm))
    grid_mm = step * pixel_mm
    image = shrunk(view.shown.array, step)
    breast = breast_in(image, view.wall_is_left)
    columns = np.flatnonzero(breast.any(axis=0))
    nipple = columns.max() if view.wall_is_left else columns.min()
    contrasts = np.stack([contrast(image, breast, radius / grid_mm) for radius in RADII_MM])
    best = contrasts.max(axis=0)
    top = (best == ndimage.maximum_filter(best, round(10 / grid_mm))) & breast & (best > 3)
    for row, column in np.argwhere(top).tolist():
        diameter = width_of(image, row, column, RADII_MM[int(contrasts[:, row, column].argmax())] / grid_mm)
        yield Spot(
            float(best[row, column]),
            circle(view, (column + 0.5) * step, (row + 0.5) * step, diameter * step / 2),
            diameter * grid_mm,
            abs(nipple - column) * grid_mm,
        )


def shrunk(image: NDArray[np.float32], step: int) -> NDArray[np.float64]:
    """The means of squares of `step` pixels."""
    rows, columns = (size // step for size in image.shape)
    squares = image[: rows * step, : columns * step].reshape(rows, step, columns, step)
    return np.asarray(squares.mean(axis=(1, 3), dtype=np.float64))


def breast_in(image: NDArray[np.float64], at_left: bool) -> NDArray[np.bool_]:
    """The largest bright region; NotApplicableError where it is not at the chest wall's edge of the image."""
    labels, count = ndimage.label(ndimage.gaussian_filter(image, 1) > 0.1 * np.percentile(image, 95))
    sizes = np.bincount(labels.ravel(), minlength=count + 1)[1:]
    if not count or sizes.max() < 0.05 * image.size:
        raise NotApplicableError("No breast was found on an image.")
    breast = np.asarray(labels == 1 + int(sizes.argmax()))
    left, right = breast[:, :3].sum(), breast[:, -3:].sum()
    if (left if at_left else right) <= 2 * (right if at_left else left):
        raise NotApplicableError(
            "Patient Orientation and pixels contradict each other about the chest wall: the image may be flipped."
        )
    return breast


def contrast(image: NDArray[np.float64], breast: NDArray[np.bool_], radius: float) -> NDArray[np.float64]:
    """Each place against what surrounds it, in standard deviations of that within the breast; `radius` in pixels."""

    def local_mean(sigma: float) -> NDArray[np.float64]:
        weight = ndimage.gaussian_filter(breast.astype(np.float64), sigma)
        return np.asarray(ndimage.gaussian_filter(np.where(breast, image, 0), sigma) / np.maximum(weight, 1e-6))

    difference = np.where(breast, local_mean(radius / 2) - local_mean(radius), 0)
    low, high = np.percentile(difference[breast], (25, 75))
    return np.asarray(difference / ((high - low) / 1.349 or np.inf))


def width_of(image: NDArray[np.float64], row: int, column: int, radius: float) -> float:
    """Diameter in pixels of a sphere whose shadow is at half of its height as wide as this spot is."""
    reach = round(2 * radius)
    top, left = max(row - reach, 0), max(column - reach, 0)
    part = ndimage.gaussian_filter(image[top : row + reach + 1, left : column + reach + 1], 1)
    rows, columns = np.mgrid[: part.shape[0], : part.shape[1]]
    away = np.hypot(rows - (row - top), columns - (column - left))
    around = float(np.median(part[(away > 1.4 * radius) & (away <= reach)]))
    half = (around + float(part[row - top, column - left])) / 2
    labels, _ = ndimage.label((part > half) & (away <= reach))
    area = int((labels == labels[row - top, column - left]).sum())
    return float(2 * np.sqrt(area / np.pi) / np.sqrt(0.75))


def circle(view: View, column: float, row: float, radius: float) -> Ellipse:
    """Around a place of an image: the centre of its first pixel is (0.5, 0.5), columns come first."""
    height, width = view.shown.array.shape
    radius = min(radius, column, row, width - column, height - row)  # within the image
    points = [(column - radius, row), (column + radius, row), (column, row - radius), (column, row + radius)]
    return Ellipse(np.array(points), view.shown.image)


# --- in the words of the contract --------------------------------------------------------------------


def in_words(found: Sequence[Finding]) -> str:
    """The answer in a sentence."""
    if not found:
        return "No mass is seen on both views of a breast."
    sick = {mass.site.laterality for mass in found if mass.site}
    sides = " and in the ".join(name.lower() for name, code in SIDES.values() if code in sick)
    return f"Mass in the {sides} breast, seen on both views."


def findings_of(side: str, masses: Sequence[Mass], threshold: float) -> Iterator[Finding]:
    """One for the breast with its score, and one for each mass above the threshold."""
    name, laterality = SIDES[side]
    site = Site(codes.BREAST, laterality)
    highest = masses[0].conspicuity if masses else 0.0

    def score(value: float) -> Score:
        return Score(round(value, 1), threshold, concept=CONSPICUITY)

    yield Finding(BREAST_WITH_MASS, highest >= threshold, score(highest), site, tracking_id=f"{name} breast")
    for number, mass in enumerate((each for each in masses if each.conspicuity >= threshold), start=1):
        size = (mass.cc.diameter_mm + mass.mlo.diameter_mm) / 2
        yield Finding(
            codes.MASS,
            present=True,
            score=score(mass.conspicuity),
            site=site,
            measurements=(Measurement(codes.DIAMETER, round(size, 1), codes.MILLIMETER, decimals=0),),
            regions=(mass.cc.ellipse, mass.mlo.ellipse),
            tracking_id=f"{name} mass {number}",
        )
