"""What products on the market put out: scores, calcium, an occluded vessel, bone age, cephalometry, breasts.

Their numbers are invented; their codes are those of DICOM, SNOMED CT and FMA where there are any.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from plugins import codes
from plugins.contract import (
    Code,
    Finding,
    Heatmap,
    ImageReference,
    KeyImage,
    Measurement,
    Picture,
    Point,
    Polyline,
    ReferenceRange,
    Result,
    ResultStatus,
    Score,
    Site,
    Unit,
)

OCCLUSION = Code("26036001", "SCT", "occlusion")
MIDDLE_CEREBRAL_ARTERY = Code("17232002", "SCT", "Middle Cerebral Artery")
AGATSTON = Code("112055", "DCM", "Agatston scoring method")
CALCIUM_VOLUME = Code("122660", "DCM", "Calcium Volume")
CALCIUM_MASS = Code("122661", "DCM", "Calcium Mass")
SUBJECT_AGE = Code("121033", "DCM", "Subject Age")
SELLA, NASION = Code("42575006", "SCT", "Sella turcica"), Code("264779", "FMA", "Nasion")
MILLIGRAM = Unit("mg", "milligram")


def _own(value: str, meaning: str) -> Code:
    """No coding scheme that DICOM names has it."""
    return Code(value, "99VENDOR", meaning)


BONE_AGE, BONE_AGE_DEVIATION = (
    _own("BONE_AGE", "Bone age"),
    _own("BONE_AGE_SD_SCORE", "Bone age, standard deviation score"),
)
LANDMARK, LAA950 = _own("CEPHALOMETRIC_LANDMARK", "Cephalometric landmark"), _own("LAA950", "LAA%-950")
POINT_A, POINT_B = _own("POINT_A", "Point A (subspinale)"), _own("POINT_B", "Point B (supramentale)")
SNA, SNB = _own("SNA", "Angle sella-nasion-A"), _own("SNB", "Angle sella-nasion-B")
SKELETAL = _own("SAGITTAL_JAW_RELATION", "Sagittal relation of the jaws")
MOST = 64.0
"""Rows and columns of the images of `tests.support.results.reports`; `scale` is for larger ones."""


def chest_x_ray(image: ImageReference, scale: float = 1.0) -> Result:
    """Abnormality scores in percent, present or absent by their threshold, and a heat map of where they come from."""
    size = round(MOST * scale)
    rows, columns = np.mgrid[0:size, 0:size] / scale
    hot = np.exp(-((rows - 24.0) ** 2 + (columns - 18.0) ** 2) / 60).astype(np.float32)
    scores = (
        (codes.NODULE, 87.0),
        (codes.CONSOLIDATION, 22.0),
        (codes.PNEUMOTHORAX, 1.0),
        (codes.PLEURAL_EFFUSION, 3.0),
    )
    findings = tuple(
        Finding(
            code,
            present=value >= 15,
            score=Score(value, 15.0, unit=codes.PERCENT, concept=codes.CERTAINTY_OF_FINDING),
            site=Site(codes.LUNG, codes.RIGHT) if value >= 15 else None,
        )
        for code, value in scores
    )
    heat = Heatmap(hot[np.newaxis], (image,), codes.GRADIENT_WEIGHTED_CLASS_ACTIVATION, label="All findings")
    return Result(ResultStatus.FINDINGS, "Nodule 87 %, consolidation 22 %.", findings, heatmaps=(heat,))


def emphysema_and_calcium(image: ImageReference, scale: float = 1.0) -> Result:
    """LAA%-950 of the lungs; Agatston score, volume and mass of the coronary arteries, each with its method."""
    del scale
    calcium = Measurement(codes.CORONARY_CALCIUM_SCORE, 412.0, codes.NO_UNITS, method=AGATSTON, decimals=0)
    more = (Measurement(CALCIUM_VOLUME, 350.2, codes.CUBIC_MILLIMETER), Measurement(CALCIUM_MASS, 71.5, MILLIGRAM))
    findings = (
        Finding(codes.EMPHYSEMA, present=True, measurements=(Measurement(LAA950, 18.4, codes.PERCENT, decimals=1),)),
        Finding(
            _own("CORONARY_CALCIUM", "Coronary calcium"),
            site=Site(codes.CORONARY_ARTERY),
            measurements=(calcium, *more),
        ),
    )
    shown = (KeyImage(image, "Calcified left anterior descending artery", (50.0, 400.0)),)
    return Result(ResultStatus.FINDINGS, "LAA%-950 18.4 %, Agatston score 412.", findings, key_images=shown)


def vessel_occlusion(image: ImageReference, scale: float = 1.0) -> Result:
    """Left middle cerebral artery occluded, urgent, at a point; the right one looked at and open."""
    place = Point(np.array([40.5, 30.5]) * scale, image)
    left = Finding(
        OCCLUSION,
        present=True,
        score=Score(0.93, 0.6),
        site=Site(MIDDLE_CEREBRAL_ARTERY, codes.LEFT),
        regions=(place,),
        urgent=True,
    )
    right = Finding(OCCLUSION, present=False, score=Score(0.04, 0.6), site=Site(MIDDLE_CEREBRAL_ARTERY, codes.RIGHT))
    return Result(ResultStatus.FINDINGS, "Occlusion of the left middle cerebral artery.", (left, right))


def bone_age(image: ImageReference, scale: float = 1.0) -> Result:
    """Months beside the age, with the range of two standard deviations and its source, and a curve that shows both."""
    del scale
    normal = ReferenceRange(110.4, 153.6, "mean and 2 SD at this age, example curve")
    numbers = (
        Measurement(BONE_AGE, 158.0, codes.MONTH, reference_range=normal, decimals=0),
        Measurement(BONE_AGE, 10.8, codes.MONTH, derivation=codes.STANDARD_DEVIATION, decimals=1),
        Measurement(BONE_AGE_DEVIATION, 2.4, codes.NO_UNITS, decimals=1),
        Measurement(SUBJECT_AGE, 132.0, codes.MONTH, decimals=0),
    )
    finding = Finding(BONE_AGE, site=Site(codes.HAND, codes.LEFT), measurements=numbers)
    curve = Picture(_curve(132.0, 158.0), "Bone age over age: mean and 2 SD; the cross is this child", (image,))
    return Result(
        ResultStatus.FINDINGS, "Bone age 13 years 2 months, +2.4 SD at 11 years.", (finding,), pictures=(curve,)
    )


def _curve(age: float, bone: float) -> NDArray[np.uint8]:
    """Months, 0 to 216, on both axes."""
    canvas = Image.new("RGB", (640, 640), (10, 13, 18))
    pen = ImageDraw.Draw(canvas)

    def at(months: float, value: float) -> tuple[float, float]:
        return 60 + months * 2.5, 580 - value * 2.5

    for deviations, colour in ((-2, (90, 100, 115)), (0, (232, 236, 241)), (2, (90, 100, 115))):
        pen.line([at(each, each + deviations * each * 0.082) for each in range(0, 200, 4)], fill=colour, width=2)
    x, y = at(age, bone)
    pen.line((x - 10, y, x + 10, y), fill=(246, 190, 60), width=4)
    pen.line((x, y - 10, x, y + 10), fill=(246, 190, 60), width=4)
    font = ImageFont.load_default(20)
    for months in (0, 60, 120, 180):
        pen.text(at(months, -3), str(months), fill=(232, 236, 241), font=font, anchor="mt")
        pen.text(at(-4, months), str(months), fill=(232, 236, 241), font=font, anchor="rm")
    pen.text(at(90, -14), "Age, months", fill=(232, 236, 241), font=font, anchor="mt")
    pen.text(at(0, 216), "Bone age, months", fill=(232, 236, 241), font=font, anchor="lm")
    return np.asarray(canvas, dtype=np.uint8)


def cephalometry(image: ImageReference, scale: float = 1.0) -> Result:
    """Four landmarks as points, two angles with their lines and normal ranges, and what follows from them."""
    places = {SELLA: (20.0, 20.0), NASION: (48.0, 17.0), POINT_A: (46.0, 38.0), POINT_B: (43.0, 50.0)}
    points = {site: np.array(place) * scale for site, place in places.items()}
    landmarks = [
        Finding(LANDMARK, site=Site(site), regions=(Point(place, image),), tracking_id=site.meaning)
        for site, place in points.items()
    ]
    angles = [
        _angle(name, points[SELLA], points[NASION], points[end], normal, image)
        for name, end, normal in ((SNA, POINT_A, (80.0, 84.0)), (SNB, POINT_B, (78.0, 82.0)))
    ]
    return Result(ResultStatus.FINDINGS, "Cephalometry with four landmarks.", (*landmarks, *angles))


def _angle(
    name: Code,
    first: NDArray[np.float64],
    corner: NDArray[np.float64],
    last: NDArray[np.float64],
    normal: tuple[float, float],
    image: ImageReference,
) -> Finding:
    one, other = first - corner, last - corner
    degrees = float(np.degrees(np.arccos(one @ other / np.linalg.norm(one) / np.linalg.norm(other))))
    range_ = ReferenceRange(*normal, "Steiner 1953, Am J Orthod 39:729")
    value = Measurement(name, degrees, codes.DEGREE, reference_range=range_, decimals=1)
    return Finding(
        SKELETAL,
        measurements=(value,),
        regions=(Polyline(np.array([first, corner, last]), image),),
        tracking_id=name.value,
    )


def mammogram(image: ImageReference, scale: float = 1.0) -> Result:
    """A score for each breast; in the left one a mass with its outline and diameter, and calcification not there."""
    corners = np.array([[20.0, 18.0], [32.0, 18.0], [32.0, 30.0], [20.0, 30.0], [20.0, 18.0]]) * scale
    mass = Finding(
        codes.MASS,
        present=True,
        site=Site(codes.BREAST, codes.LEFT),
        score=Score(91.0, 10.0, unit=codes.PERCENT, concept=codes.CERTAINTY_OF_FINDING),
        measurements=(Measurement(codes.DIAMETER, 14.2, codes.MILLIMETER, decimals=1),),
        regions=(Polyline(corners, image),),
        tracking_id="Mass 1",
    )
    breasts = tuple(
        Finding(
            _own("BREAST_ABNORMAL", "Abnormality of the breast"),
            present=value >= 10,
            site=Site(codes.BREAST, side),
            score=Score(value, 10.0, unit=codes.PERCENT, concept=codes.CERTAINTY_OF_FINDING),
        )
        for side, value in ((codes.LEFT, 91.0), (codes.RIGHT, 3.0))
    )
    calcification = Finding(codes.BREAST_CALCIFICATION, present=False, site=Site(codes.BREAST, codes.LEFT))
    return Result(ResultStatus.FINDINGS, "Left breast 91 %, right breast 3 %.", (mass, *breasts, calcification))


VENDORS: dict[str, Callable[[ImageReference], Result]] = {
    "chest-x-ray": chest_x_ray,
    "emphysema-calcium": emphysema_and_calcium,
    "vessel-occlusion": vessel_occlusion,
    "bone-age": bone_age,
    "cephalometry": cephalometry,
    "mammogram": mammogram,
}
