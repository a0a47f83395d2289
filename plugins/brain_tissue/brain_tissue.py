"""The plugin: headers, the head on the network's grid, its labels, whether they can be true, numbers and pictures.

`plugin.toml` names this module by itself, and not by its package, so that it comes from the plugin's folder, where the
model is beside it.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from plugins.brain_tissue import acquired, codes, pictures
from plugins.brain_tissue.network import GREY, WHITE, BrainNetwork
from plugins.brain_tissue.segmentation import BrainSegmentation, segment
from plugins.contract import (
    Finding,
    KeyImage,
    Measurement,
    NotApplicableError,
    Parameters,
    Picture,
    Result,
    ResultStatus,
    Segment,
    Segmentation,
    Site,
    Study,
)

MODEL = Path(__file__).parent / "model20chan3cls.onnx"
SEGMENTS = tuple(
    Segment(number, label, codes.ANATOMICAL_STRUCTURE, site.region, None, pictures.COLOURS[number])
    for number, label, site in ((WHITE, "White matter", codes.WHITE), (GREY, "Grey matter", codes.GREY))
)
_NOTICE = "Reference implementation for pilots, not a medical device."


class BrainTissue:
    """Grey and white matter of one T1-weighted brain MR; see README.md for method and limits."""

    def __init__(self) -> None:
        self._network = BrainNetwork(MODEL)

    def analyse(self, study: Study, parameters: Parameters) -> Result:
        """Volumes of both tissues, their segmentation, three pictures and an image; NotApplicableError."""
        if len(study.series) != 1:
            raise NotApplicableError(f"{len(study.series)} series were handed over; brain tissue is measured on one.")
        _refuse_age(study.patient_age, parameters["minimum_age_years"])
        headers = study.series[0].headers()
        if not headers:
            raise NotApplicableError("The series holds no images.")
        acquired.refuse_headers(headers)
        volume = study.series[0].volume()
        acquired.refuse_coarse(volume.spacing)
        return _result(segment(volume, self._network))


def _refuse_age(age: float | None, least: float) -> None:
    if least > 0 and age is None:
        raise NotApplicableError("The patient's age is not known.")
    if age is not None and age < least:
        raise NotApplicableError(f"The patient is {age:.3g} years old; the site allows this from {least:g} years on.")


def _result(found: BrainSegmentation) -> Result:
    white, grey = found.white_ml, found.grey_ml
    most = int(np.count_nonzero(found.labels, axis=(1, 2)).argmax())
    return Result(
        status=ResultStatus.FINDINGS,
        summary=(
            f"Grey matter {grey:.0f} mL, white matter {white:.0f} mL, together {grey + white:.0f} mL. The volumes of "
            f"this neural network were not compared with a ground truth. {_NOTICE}"
        ),
        findings=(
            _finding("Grey and white matter", grey + white, codes.BOTH_TISSUES, (WHITE, GREY)),
            _finding("Grey matter", grey, codes.GREY, (GREY,)),
            _finding("White matter", white, codes.WHITE, (WHITE,)),
        ),
        segmentation=Segmentation(found.labels, found.volume.frames, SEGMENTS),
        key_images=(KeyImage(found.volume.frames[most], "Slice with most of the brain"),),
        pictures=_pictures(found, f"grey {grey:.0f} mL   white {white:.0f} mL"),
    )


def _finding(name: str, millilitres: float, site: Site, segments: tuple[int, ...]) -> Finding:
    """A volume is measured, it is neither present nor absent."""
    volume = Measurement(codes.VOLUME, round(millilitres, 1), codes.MILLILITRE, decimals=0)
    return Finding(code=codes.BRAIN_TISSUE, site=site, measurements=(volume,), segments=segments, tracking_id=name)


def _pictures(found: BrainSegmentation, detail: str) -> tuple[Picture, ...]:
    return tuple(
        Picture(
            pictures.draw(plane, found.brightness, detail),
            f"{plane.name.capitalize()} plane {plane.place}: grey matter outlined blue, white matter yellow",
        )
        for plane in pictures.planes(found.head.array, found.conformed_labels)
    )
