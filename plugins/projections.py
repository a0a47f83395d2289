"""Projection X-ray images (CR, DX, mammography, dental) as arrays: as they are meant to be seen, or as measured.

As seen: Modality LUT, then VOI LUT, then MONOCHROME1 or Presentation LUT Shape INVERSE turned over, from 0 (black) to 1
(white), as PS3.3 C.11.1, C.11.2, C.7.6.3.1.2 and PS3.4 N.2 say. As measured: the values after the Modality LUT only,
for models that were trained on them. Nothing is guessed: where the header contradicts itself, or where an image was
never meant to be shown, it is refused with the reason.

Distances are on the detector until something says how much the patient was magnified (`Projection.spacing_kind`).

Needs pydicom (and, for compressed images, its decoders).
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydicom import Dataset
from pydicom.uid import (
    ComputedRadiographyImageStorage,
    DigitalIntraOralXRayImageStorageForPresentation,
    DigitalIntraOralXRayImageStorageForProcessing,
    DigitalMammographyXRayImageStorageForPresentation,
    DigitalMammographyXRayImageStorageForProcessing,
    DigitalXRayImageStorageForPresentation,
    DigitalXRayImageStorageForProcessing,
    ExplicitVRBigEndian,
)

from plugins import attribute_numbers, decoding, stored_values
from plugins.image_frames import headers
from plugins.images import ImageReference, NotApplicableError
from plugins.lookup_table import looked_up

_FOR_PROCESSING = frozenset(
    {
        DigitalIntraOralXRayImageStorageForProcessing,
        DigitalMammographyXRayImageStorageForProcessing,
        DigitalXRayImageStorageForProcessing,
    }
)
_CLASSES = _FOR_PROCESSING | {
    ComputedRadiographyImageStorage,
    DigitalIntraOralXRayImageStorageForPresentation,
    DigitalMammographyXRayImageStorageForPresentation,
    DigitalXRayImageStorageForPresentation,
}


class SpacingKind(StrEnum):
    """Where the distances of `Projection.spacing` are measured."""

    CALIBRATED = "calibrated"
    """In the patient: Pixel Spacing with a Pixel Spacing Calibration Type, or another one than that of the detector."""
    DETECTOR = "detector"
    """On the detector (Imager Pixel Spacing): the patient is smaller by the magnification."""
    UNSTATED = "unstated"
    """Pixel Spacing alone: whether it was corrected for magnification is not said (PS3.3 10.7.1.3)."""
    NONE = "none"
    """There is no spacing: nothing can be measured in mm."""


@dataclass(frozen=True)
class Projection:
    """One projection image with what decides how to look at it and measure in it."""

    array: NDArray[np.float32]
    """(rows, columns): 0 (black) to 1 (white), or values after the Modality LUT where `raw` was asked for."""
    image: ImageReference
    spacing: tuple[float, float] | None
    """mm between rows, between columns, measured where `spacing_kind` says."""
    spacing_kind: SpacingKind
    calibration: str
    """GEOMETRY or FIDUCIAL, with its description where there is one; empty where nothing was calibrated."""
    magnification: float | None
    """How much larger the patient is on the detector: Estimated Radiographic Magnification Factor, or the distances."""
    bits: int
    """Bits Stored."""
    for_processing: bool
    """Whether these are pixels before the vendor's processing, which nobody reads from."""
    body_part: str
    view: str
    """View Position, or the meaning of the View Code."""
    laterality: str
    """L, R, B or empty."""

    @property
    def patient_spacing(self) -> tuple[float, float] | None:
        """mm in the patient between rows, between columns; None where no attribute says how much it was magnified."""
        if self.spacing is None or self.spacing_kind is SpacingKind.UNSTATED:
            return None
        if self.spacing_kind is SpacingKind.CALIBRATED:
            return self.spacing
        if self.magnification is None:
            return None
        return self.spacing[0] / self.magnification, self.spacing[1] / self.magnification


def projections(files: Iterable[Path], *, raw: bool = False) -> tuple[Projection, ...]:
    """The projections of some files, in their order.

    Raises `NotApplicableError` for images that are none (another SOP class, several frames, colour), for values whose
    meaning is not certain (`plugins.stored_values`) and pixels that do not decode; unless `raw`, also for images for
    processing, and for Photometric Interpretation and Presentation LUT Shape that contradict each other.
    """
    paths = list(files)
    if not paths:
        raise NotApplicableError("The series holds no images.")
    return tuple(_projection(header, path, raw) for header, path in zip(headers(paths), paths, strict=True))


def _projection(header: Dataset, file: Path, raw: bool) -> Projection:
    uid = str(header.get("SOPInstanceUID", ""))
    place = f"SOP instance {uid or file.name}"
    _refuse_others(header, place)
    meaning = stored_values.meaning(header, (), place)
    for_processing = header.get("SOPClassUID") in _FOR_PROCESSING or _text(header, "PresentationIntentType") == (
        "FOR PROCESSING"
    )
    if for_processing and not raw:
        raise NotApplicableError(
            f"{place} is for processing (Presentation Intent Type): it is not what a reader sees; choose the images "
            "for presentation."
        )
    pixels = next(iter(decoding.frames_of(file, [1], place)))
    if pixels.shape != (header.Rows, header.Columns):
        raise NotApplicableError(f"{place} decodes to {pixels.shape}, not to {header.Rows} × {header.Columns}.")
    values = stored_values.applied(pixels, meaning, place)
    spacing, kind, calibration = _spacing(header, place)
    return Projection(
        array=values if raw else _as_seen(values, pixels, header, place),
        image=ImageReference(uid),
        spacing=spacing,
        spacing_kind=kind,
        calibration=calibration,
        magnification=_magnification(header, place),
        bits=meaning.bits.stored if meaning.bits else 32,
        for_processing=for_processing,
        body_part=_text(header, "BodyPartExamined"),
        view=_view(header),
        laterality=_text(header, "ImageLaterality") or _text(header, "Laterality"),
    )


def _refuse_others(header: Dataset, place: str) -> None:
    if header.get("SOPClassUID") not in _CLASSES:
        name = getattr(header.get("SOPClassUID"), "name", "") or "of no stated kind"
        raise NotApplicableError(f"{place} is not a projection X-ray image ({name}).")
    for keyword in ("Rows", "Columns"):
        if not attribute_numbers.whole_number(header, keyword, place):
            raise NotApplicableError(f"{place} has no pixel data.")
    frames = attribute_numbers.whole_number(header, "NumberOfFrames", place) or 1
    if frames > 1:
        raise NotApplicableError(f"{place} has {frames} frames; a projection is one image.")
    photometric = _text(header, "PhotometricInterpretation")
    if photometric not in ("MONOCHROME1", "MONOCHROME2") or header.get("SamplesPerPixel", 1) != 1:
        raise NotApplicableError(f"{place} is a colour image ({photometric}), not a greyscale one.")


def _text(header: Dataset, keyword: str) -> str:
    return str(header.get(keyword) or "").strip()


def _view(header: Dataset) -> str:
    code = next(iter(header.get("ViewCodeSequence") or ()), Dataset())
    return _text(header, "ViewPosition") or _text(code, "CodeMeaning")


# --- as seen ---------------------------------------------------------------------------------------


def _as_seen(
    values: NDArray[np.float32], pixels: NDArray[np.generic], header: Dataset, place: str
) -> NDArray[np.float32]:
    """0 (black) to 1 (white); what is padding is black."""
    shown = _windowed(values, header, place)
    if _is_inverted(header, place):
        shown = 1 - shown
    padding = header.get("PixelPaddingValue")
    if isinstance(padding, int):
        limit = header.get("PixelPaddingRangeLimit", padding)
        shown[(pixels >= min(padding, limit)) & (pixels <= max(padding, limit))] = 0
    return shown.astype(np.float32)


def _is_inverted(header: Dataset, place: str) -> bool:
    """Whether low values are white; both attributes say it, and neither is believed against the other."""
    photometric, shape = _text(header, "PhotometricInterpretation"), _text(header, "PresentationLUTShape")
    inverted = photometric == "MONOCHROME1"
    if shape and shape != ("INVERSE" if inverted else "IDENTITY"):
        raise NotApplicableError(
            f"{place} is {photometric} with Presentation LUT Shape {shape}: whether low values are white is unknown."
        )
    return inverted


def _windowed(values: NDArray[np.float32], header: Dataset, place: str) -> NDArray[np.float64]:
    """Values through the first VOI LUT or window; without any the lowest is 0 and the highest 1."""
    tables = header.get("VOILUTSequence")
    if tables:
        return _through_table(values, header, place)
    center, width = (_first(header, keyword, place) for keyword in ("WindowCenter", "WindowWidth"))
    if center is None or width is None:
        low, high = float(values.min()), float(values.max())
        return (values.astype(np.float64) - low) / ((high - low) or 1.0)
    function = _text(header, "VOILUTFunction") or "LINEAR"
    x = values.astype(np.float64)
    if width < (1 if function == "LINEAR" else 0) or (width == 0 and function != "LINEAR"):
        raise NotApplicableError(f"{place} has the Window Width {width:g}, which no {function} window may have.")
    if function == "SIGMOID":
        return 1 / (1 + np.exp(np.clip(-4 * (x - center) / width, -700, 700)))
    if function == "LINEAR_EXACT":
        return np.clip((x - center) / width + 0.5, 0, 1)
    if function != "LINEAR":
        raise NotApplicableError(f"{place} has the VOI LUT Function {function}, which is not known.")
    if width == 1:
        return (x > center - 0.5).astype(np.float64)
    return np.clip((x - (center - 0.5)) / (width - 1) + 0.5, 0, 1)


def _through_table(values: NDArray[np.float32], header: Dataset, place: str) -> NDArray[np.float64]:
    is_little = header.file_meta.get("TransferSyntaxUID") != ExplicitVRBigEndian
    try:
        mapped, bits = looked_up(values, header.VOILUTSequence[0], little_endian=is_little)
    except (AttributeError, IndexError, TypeError, ValueError) as error:
        raise NotApplicableError(f"{place} has a VOI LUT Sequence that is not built as it says.") from error
    return mapped / ((1 << bits) - 1)


def _first(header: Dataset, keyword: str, place: str) -> float | None:
    """The first of the values of a window: the one that the sender prefers."""
    value = header.get(keyword)
    first = value[0] if value is not None and not isinstance(value, str) and hasattr(value, "__len__") else value
    single = Dataset()
    if first is not None:
        setattr(single, keyword, first)
    return attribute_numbers.number(single, keyword, place)


# --- distances -------------------------------------------------------------------------------------


def _spacing(header: Dataset, place: str) -> tuple[tuple[float, float] | None, SpacingKind, str]:
    """Spacing, where it is measured, and how it was calibrated (PS3.3 10.7)."""
    patient, detector = _pair(header, "PixelSpacing", place), _pair(header, "ImagerPixelSpacing", place)
    calibration = _text(header, "PixelSpacingCalibrationType")
    described = f"{calibration}: {_text(header, 'PixelSpacingCalibrationDescription')}".strip(": ")
    if patient and (calibration or (detector and not np.allclose(patient, detector, rtol=1e-4))):
        return patient, SpacingKind.CALIBRATED, described
    if detector:
        return detector, SpacingKind.DETECTOR, ""
    return (patient, SpacingKind.UNSTATED, "") if patient else (None, SpacingKind.NONE, "")


def _pair(header: Dataset, keyword: str, place: str) -> tuple[float, float] | None:
    value = header.get(keyword)
    if value is None or value == "":
        return None
    try:
        rows, columns = (attribute_numbers.decimal(each) for each in value)
    except (TypeError, ValueError) as error:
        raise NotApplicableError(f"{place} has no usable {keyword}, so its distances are unknown.") from error
    if not (0 < rows < math.inf and 0 < columns < math.inf):
        raise NotApplicableError(f"{place} has no usable {keyword}, so its distances are unknown.")
    return rows, columns


def _magnification(header: Dataset, place: str) -> float | None:
    stated = attribute_numbers.number(header, "EstimatedRadiographicMagnificationFactor", place)
    if stated:
        return stated if stated >= 1 else None
    detector = attribute_numbers.number(header, "DistanceSourceToDetector", place)
    patient = attribute_numbers.number(header, "DistanceSourceToPatient", place)
    return detector / patient if detector and patient and detector >= patient > 0 else None
