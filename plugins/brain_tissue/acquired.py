"""What the headers say against it: only a 3-D gradient-echo T1 without contrast medium is what the network knows.

Attributes of MR images (PS3.3 C.8.3.1) and of enhanced ones, which have them in functional groups (PS3.3 C.8.13). What
decides and is not stated is a reason, too: nothing is taken for T1 because nothing speaks against it.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass

from pydicom import Dataset

from plugins.attribute_numbers import decimal, number
from plugins.contract import NotApplicableError

MOST_SLICE_MM = 2.0
"""Thickest slices, and largest distance of slices, rows and columns."""
_ROUNDING_MM = 0.01
MOST_ECHO_TIME_MS = 10.0
"""A gradient echo above it is weighted by T2*."""
PREPARED_INVERSION_MS = (250.0, 1400.0)
"""Inversion times of T1: the shorter ones are those of short repetitions (GE), FLAIR has 1,600 and more."""
WHITE_DARK_BELOW_MS = 550.0
"""Inversion time below which white matter is dark, where the magnetisation has time to recover between inversions."""
LONG_REPETITION_MS = 100.0
"""A repetition time above it is that of the whole inversion, below it that of one excitation."""
SPOILED_REPETITION_MS, SPOILED_FLIP_DEGREES = 60.0, 10.0
"""Without inversion: the longest repetition, and the least flip angle, that are T1 and not proton density."""
NO_AGENT = frozenset({"", "NONE", "NO", "N", "W/O", "WITHOUT", "NON CONTRAST", "NO CONTRAST", "-"})
"""What scanners write into Contrast/Bolus Agent when none was given."""
_OTHER_PIXELS = frozenset(
    {"PHASE", "PHASE MAP", "P", "REAL", "R", "IMAGINARY", "I", "MIP", "MINIP", "MAX_IP", "MIN_IP", "PROJECTION IMAGE"}
    | {"ADC", "FA", "DIFFUSION", "TRACEW", "T1 MAP", "T2 MAP", "T2_STAR MAP", "PD MAP", "B0 MAP", "UNI", "SUBTRACTION"}
    | {"T2", "T2_STAR", "PROTON_DENSITY", "FLUID_ATTENUATED", "STIR", "TOF", "VELOCITY", "TEMPERATURE"}
    | {"METABOLITE_MAP", "LOCALIZER", "MOSAIC", "FMRI", "ASL", "RCBF", "RCBV", "MTT", "TTP"}
)
"""Values 3 and later of Image Type that say: no magnitude image of a head, or none whose brightness is that of T1."""
_WITHOUT = re.compile(
    r"(?:\bW/?O|\bWITHOUT|\bNON?|\bPRE|\bBEFORE|\bVOR|\bOHNE|비)[\s_-]*(?:CONTRAST|GD|GADO\w*|CE|KM|C\b|\+\s?C|조영\S*)"
)
_NAMED = re.compile(
    r"\bGD\b|GADO|GADAVIST|DOTAREM|CLARISCAN|PROHANCE|MAGNEVIST|\+\s?C\b|\bC\s?\+|\bCE\b|\bKM\b|CONTRAST|\bPOST\b|조영"
)


@dataclass(frozen=True, slots=True)
class _AcquisitionFacts:
    """What decides of one image's header; None or empty where it is not stated."""

    dimensions: str
    sequences: frozenset[str]
    """GR, SE, IR, EP: as Scanning Sequence has them."""
    is_prepared: bool
    """Whether an inversion (or another preparation) makes the contrast."""
    echo_time: float | None
    repetition_time: float | None
    inversion_time: float | None
    flip_angle: float | None
    kinds: frozenset[str]
    """Values 3 and later of Image Type or Frame Type."""
    stated_contrast: str
    """Acquisition Contrast of an enhanced image."""
    is_angiography: bool


def refuse_headers(headers: Sequence[Dataset]) -> None:
    """Raise `NotApplicableError` where one of the headers says that the network does not know such images."""
    for header in headers:
        if header.get("Modality") != "MR":
            raise NotApplicableError(f"The images are {header.get('Modality') or 'of no stated modality'}, not MR.")
        _refuse_contrast_medium(header)
        found = _acquired(header)
        _refuse_other_pixels(found)
        _refuse_other_sequences(found)
        _refuse_other_weighting(found)
        thickness = number(header, "SliceThickness", _place(header))
        if thickness is not None:
            _refuse_thick(thickness)


def refuse_coarse(spacing: tuple[float, float, float]) -> None:
    """Raise where slices, rows or columns are too far apart; mm."""
    _refuse_thick(spacing[0])
    if max(spacing) > MOST_SLICE_MM + _ROUNDING_MM:
        raise NotApplicableError(
            f"The pixels are {max(spacing[1:]):.3g} mm wide; at most {MOST_SLICE_MM:g} mm can be measured."
        )


def _refuse_thick(slice_mm: float) -> None:
    if slice_mm > MOST_SLICE_MM + _ROUNDING_MM:
        raise NotApplicableError(
            f"The slices are {slice_mm:.3g} mm thick; at most {MOST_SLICE_MM:g} mm can be measured."
        )


def _refuse_contrast_medium(header: Dataset) -> None:
    agent = str(header.get("ContrastBolusAgent") or "").strip().upper()
    if agent not in NO_AGENT or header.get("ContrastBolusAgentSequence"):
        raise NotApplicableError("Contrast medium was given, by the header of the images (Contrast/Bolus Agent).")
    if number(header, "ContrastBolusVolume", _place(header)):
        raise NotApplicableError("Contrast medium was given, by the header of the images (Contrast/Bolus Volume).")
    name = _WITHOUT.sub(" ", str(header.get("SeriesDescription") or "").upper())
    if _NAMED.search(name):
        raise NotApplicableError("Contrast medium was given, by the name of the series (Series Description).")


def _refuse_other_pixels(found: _AcquisitionFacts) -> None:
    other = sorted(found.kinds & _OTHER_PIXELS)
    if other:
        raise NotApplicableError(
            f"The images are not the T1-weighted images of a head but {', '.join(other)}, by their Image Type."
        )


def _refuse_other_sequences(found: _AcquisitionFacts) -> None:
    if found.dimensions != "3D":
        stated = f"{found.dimensions} images" if found.dimensions else "not stated to be 3D"
        raise NotApplicableError(f"The images are {stated} (MR Acquisition Type); only 3D acquisitions are measured.")
    if "EP" in found.sequences:
        raise NotApplicableError("The images are echo planar (functional, diffusion or perfusion imaging), not T1.")
    if "SE" in found.sequences:
        raise NotApplicableError(
            "The images are spin echo (T2, FLAIR, proton density or another T1), not gradient echo T1."
        )
    if found.is_angiography:
        raise NotApplicableError("The images are an angiography (Angio Flag): blood is bright in them.")
    if "GR" not in found.sequences:
        raise NotApplicableError("The header does not state a gradient echo (Scanning Sequence), so T1 is not certain.")
    if found.stated_contrast not in ("", "T1"):
        raise NotApplicableError(f"The images are {found.stated_contrast}-weighted (Acquisition Contrast), not T1.")


def _refuse_other_weighting(found: _AcquisitionFacts) -> None:
    echo, repetition, flip = found.echo_time, found.repetition_time, found.flip_angle
    if not echo or not repetition or not flip:
        raise NotApplicableError(
            "The header does not state echo time, repetition time and flip angle, so T1 is not certain."
        )
    if echo > MOST_ECHO_TIME_MS:
        raise NotApplicableError(
            f"The echo time is {echo:g} ms: T2*-weighted; T1 has at most {MOST_ECHO_TIME_MS:g} ms."
        )
    if found.is_prepared:
        _refuse_other_inversion(found.inversion_time, repetition)
    elif repetition > SPOILED_REPETITION_MS or flip < SPOILED_FLIP_DEGREES:
        raise NotApplicableError(
            f"Without inversion, a repetition time of {repetition:g} ms and a flip angle of {flip:g}° are not T1 but "
            "proton density or another weighting."
        )


def _refuse_other_inversion(inversion: float | None, repetition: float) -> None:
    """Where the scanner does not state the inversion time, the brightness of white and grey matter has to decide."""
    if not inversion:
        return
    shortest, longest = PREPARED_INVERSION_MS
    if repetition > LONG_REPETITION_MS:
        shortest = WHITE_DARK_BELOW_MS
    if not shortest <= inversion <= longest:
        raise NotApplicableError(
            f"The inversion time is {inversion:g} ms; T1 with bright white matter has {shortest:g} to {longest:g} ms."
        )


# --- reading ---------------------------------------------------------------------------------------


def _acquired(header: Dataset) -> _AcquisitionFacts:
    inversion = _number(header, "InversionTime", "MRModifierSequence", "InversionTimes")
    sequences, variants = _values(header, "ScanningSequence"), _values(header, "SequenceVariant")
    pulses = str(header.get("EchoPulseSequence") or "")  # of an enhanced image
    if pulses in ("GRADIENT", "BOTH"):
        sequences |= {"GR"}
    if pulses in ("SPIN", "BOTH"):
        sequences |= {"SE"}
    if header.get("EchoPlanarPulseSequence") == "YES":
        sequences |= {"EP"}
    inverted = str(_value(header, "", "MRModifierSequence", "InversionRecovery") or "") == "YES"
    return _AcquisitionFacts(
        dimensions=str(header.get("MRAcquisitionType") or "").strip(),
        sequences=sequences,
        is_prepared=bool(inversion) or inverted or "IR" in sequences or "MP" in variants,
        echo_time=_number(header, "EchoTime", "MREchoSequence", "EffectiveEchoTime"),
        repetition_time=_number(header, "RepetitionTime", _TIMING, "RepetitionTime"),
        inversion_time=inversion,
        flip_angle=_number(header, "FlipAngle", _TIMING, "FlipAngle"),
        kinds=frozenset(_listed(_value(header, "ImageType", "MRImageFrameTypeSequence", "FrameType"))[2:]),
        stated_contrast=str(_value(header, "", "MRImageFrameTypeSequence", "AcquisitionContrast") or ""),
        is_angiography=header.get("AngioFlag") == "Y",
    )


_TIMING = "MRTimingAndRelatedParametersSequence"


def _value(header: Dataset, keyword: str, macro: str, within: str) -> object:
    """Of the image itself, else of the functional groups that all frames share, else of the first frame's."""
    places = [(header, keyword)] if keyword else []
    for groups in ("SharedFunctionalGroupsSequence", "PerFrameFunctionalGroupsSequence"):
        for group in (header.get(groups) or ())[:1]:
            places += [(item, within) for item in (group.get(macro) or ())[:1]]
    return next((value for place, name in places if (value := place.get(name)) not in (None, "")), None)


def _number(header: Dataset, keyword: str, macro: str, within: str) -> float | None:
    """The value that is one number, or the first of several; raises `NotApplicableError` for any other."""
    try:
        values = _listed(_value(header, keyword, macro, within))
        found = decimal(values[0]) if values else None
    except (TypeError, ValueError, OverflowError) as error:  # pydicom reads some values when they are asked for
        raise NotApplicableError(f"{_place(header)} has an unreadable {keyword}.") from error
    return found if found is not None and math.isfinite(found) else None


def _values(header: Dataset, keyword: str) -> frozenset[str]:
    return frozenset(_listed(header.get(keyword)))


def _listed(value: object) -> list[str]:
    """The values of an attribute, as texts, in capital letters."""
    if value is None:
        return []
    several = value if not isinstance(value, str) and hasattr(value, "__iter__") else [value]
    return [str(each).strip().upper() for each in several]


def _place(header: Dataset) -> str:
    return f"SOP instance {header.get('SOPInstanceUID', 'without UID')}"
