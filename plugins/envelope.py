"""`[envelope]` of a plugin.toml: on which images, and of whom, a model was validated.

The node compares the images of each job with it before anything runs. Attributes have their keywords (PS3.6), numbers
are in the units of PS3.3; `patient_age` and `contrast` rest on several attributes.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

from plugins.manifest_table import ManifestTable
from plugins.spelling import did_you_mean

PATIENT_AGE = "patient_age"
_ROLES = "roles"
CONTRAST = "contrast"
_ROUNDING = 1e-4
"""As a share: what writing a number as text, or as float of 32 bits, may change."""
_CODE = re.compile(r"[A-Z][A-Z0-9_]{1,15}")
"""A modality (CS; PS3.5 6.2)."""
_MOST_SHOWN = 90
"""Characters of a list of values in a sentence."""


class ContrastUse(StrEnum):
    """Whether a contrast agent was given."""

    NONE = "none"
    GIVEN = "given"


@dataclass(frozen=True, slots=True)
class EnvelopeAttribute:
    """What an envelope may have a word on."""

    words: str
    """For readers."""
    is_number: bool = False
    unit: str = ""
    """Of numbers, as PS3.3 has it; empty where the words say it."""
    of_frames: str = ""
    """The keyword of the same in functional groups, where that is another one."""
    modalities: frozenset[str] = frozenset()
    """Which alone have it; empty: any."""


def _number(words: str, unit: str, modalities: str = "", of_frames: str = "") -> EnvelopeAttribute:
    return EnvelopeAttribute(words, True, unit, of_frames, frozenset(modalities.split()))


def _text(words: str, modalities: str = "") -> EnvelopeAttribute:
    return EnvelopeAttribute(words, modalities=frozenset(modalities.split()))


_X_RAY = "CT DX CR MG PX IO XA RF PT"
ATTRIBUTES: Mapping[str, EnvelopeAttribute] = {
    "Modality": _text("modality"),
    "Manufacturer": _text("manufacturer"),
    "ManufacturerModelName": _text("scanner model"),
    "SoftwareVersions": _text("software version of the scanner"),
    "BodyPartExamined": _text("body part examined"),
    "PatientSex": _text("patient's sex"),
    PATIENT_AGE: _number("patient's age in years", ""),
    "PatientWeight": _number("patient's weight", "kg"),
    "PatientPosition": _text("patient's position"),
    "ViewPosition": _text("view position"),
    "SliceThickness": _number("slice thickness", "mm"),
    "SpacingBetweenSlices": _number("spacing between slices", "mm"),
    "PixelSpacing": _number("pixel spacing", "mm"),
    "ReconstructionDiameter": _number("reconstruction diameter", "mm"),
    "ConvolutionKernel": _text("convolution kernel", "CT PT NM"),
    "KVP": _number("tube voltage", "kV", _X_RAY),
    "CTDIvol": _number("CTDIvol", "mGy", "CT PT NM"),
    "Exposure": _number("exposure", "mAs", _X_RAY, "ExposureInmAs"),
    "XRayTubeCurrent": _number("tube current", "mA", _X_RAY, "XRayTubeCurrentInmA"),
    "SpiralPitchFactor": _number("pitch", "", "CT PT NM"),
    "BodyPartThickness": _number("compressed thickness", "mm", "MG DX"),
    CONTRAST: _text("contrast agent"),
    "ContrastBolusAgentPhase": _text("phase of the contrast agent"),
    "MagneticFieldStrength": _number("field strength", "T", "MR PT"),
    "MRAcquisitionType": _text("MR acquisition type", "MR PT"),
    "AcquisitionContrast": _text("MR contrast", "MR PT"),
    "RepetitionTime": _number("repetition time", "ms", "MR PT"),
    "EchoTime": _number("echo time", "ms", "MR PT", "EffectiveEchoTime"),
    "FlipAngle": _number("flip angle in degrees", "", "MR PT"),
}
"""By keyword: what validation studies state of their images and patients."""
_KNOWN_VALUES = {"PatientSex": ("F", "M", "O"), CONTRAST: tuple(ContrastUse)}
"""All values that there are."""


@dataclass(frozen=True, slots=True)
class EnvelopeLimit:
    """What one attribute was in the validation: a range of numbers, or a list of texts."""

    attribute: str
    """Key of `ATTRIBUTES`."""
    minimum: float | None = None
    maximum: float | None = None
    values: tuple[str, ...] = ()
    role: str = ""
    """Of the images that a rule gives under this role alone; empty: of all."""

    @property
    def words(self) -> str:
        """The attribute for readers, and the role of the images that it is of."""
        words = ATTRIBUTES[self.attribute].words
        return f"{words} ({self.role})" if self.role else words

    @property
    def unit(self) -> str:
        """After a number: a space and the unit, or nothing."""
        unit = ATTRIBUTES[self.attribute].unit
        return f" {unit}" if unit else ""

    @property
    def listed(self) -> str:
        """The texts, as many as a sentence has room for."""
        return shown(self.values)

    def has_number(self, value: float) -> bool:
        """Whether a number lies within; a bound belongs to it."""
        if self.minimum is not None and value < self.minimum and not _equal(value, self.minimum):
            return False
        return self.maximum is None or value <= self.maximum or _equal(value, self.maximum)

    def has_texts(self, texts: Iterable[str]) -> bool:
        """Whether all values of an image are listed: each by itself, or together with backslashes between them."""
        each = [_folded(text) for text in texts]
        patterns = [_pattern(value) for value in self.values]
        together = "\\".join(each)
        return any(pattern.fullmatch(together) for pattern in patterns) or all(
            any(pattern.fullmatch(text) for pattern in patterns) for text in each
        )

    def in_words(self) -> str:
        """As in `slice thickness 0.5 to 2 mm`."""
        if self.values:
            return f"{self.words} {', '.join(self.values)}"
        if self.minimum is None:
            return f"{self.words} up to {self.maximum:g}{self.unit}"
        if self.maximum is None:
            return f"{self.words} from {self.minimum:g}{self.unit}"
        return f"{self.words} {self.minimum:g} to {self.maximum:g}{self.unit}"


Envelope = tuple[EnvelopeLimit, ...]
"""What a model was validated on; empty: nothing is stated."""


def in_words(envelope: Envelope) -> str:
    """All of it in one line; empty where nothing is stated."""
    return "; ".join(limit.in_words() for limit in envelope)


def shown(values: Iterable[str]) -> str:
    """`a, b, ...`, within the room of a sentence."""
    text = ", ".join(values)
    return text if len(text) <= _MOST_SHOWN else f"{text[:_MOST_SHOWN].rpartition(',')[0] or text[:_MOST_SHOWN]}, ..."


def _equal(one: float, other: float) -> bool:
    return math.isclose(one, other, rel_tol=_ROUNDING)


def _folded(text: str) -> str:
    return " ".join(text.casefold().split())


def _pattern(value: str) -> re.Pattern[str]:
    """`*` stands for any characters but the backslash, which separates values (PS3.5 6.4)."""
    return re.compile(re.escape(_folded(value)).replace(r"\*", r"[^\\]*"))


def read(table: ManifestTable) -> Envelope:
    """`[envelope]` of a plugin.toml; raises `ManifestError` where it makes no sense."""
    limits = _limits(table, [key for key in table.values if key != _ROLES])
    for role, of_role in table.named_tables(_ROLES):
        limits += tuple(replace(each, role=role) for each in _limits(of_role, list(of_role.values)))
    if not limits:
        raise table.error("", "states nothing: name what it was validated on, or leave the table out")
    return limits


def _limits(table: ManifestTable, keys: Sequence[str]) -> Envelope:
    for key in keys:
        if key not in ATTRIBUTES:
            raise table.error(
                key,
                f"is not an attribute of an envelope{did_you_mean(key, ATTRIBUTES)}; docs/plugins.md has all",
            )
    limits = tuple(_limit(table, key) for key in keys)
    _check_modalities(table, limits)
    return limits


def _limit(table: ManifestTable, key: str) -> EnvelopeLimit:
    if ATTRIBUTES[key].is_number:
        return _range(table, key)
    if key == CONTRAST:
        return EnvelopeLimit(key, values=(table.member(key, ContrastUse, table.take(key, str)),))
    values = table.texts(key)
    if not values or not all(value.strip() for value in values):
        raise table.error(key, "expected a list of texts, none of them empty")
    known = _KNOWN_VALUES.get(key, ())
    for value in values:
        if known and value not in known:
            raise table.error(key, f"{value!r} is none of {', '.join(known)}")
        if key == "Modality" and not _CODE.fullmatch(value):
            raise table.error(key, f"{value!r} is not a modality, such as CT or MR")
    return EnvelopeLimit(key, values=values)


def _range(table: ManifestTable, key: str) -> EnvelopeLimit:
    if not isinstance(table.values[key], dict):
        raise table.error(key, f"expected a range, such as {{minimum = 0.5, maximum = 2.0}}, got {table.values[key]!r}")
    bounds = table.table(key)
    low, high = (bounds.take(name, float, None) for name in ("minimum", "maximum"))
    bounds.finish()
    if low is None and high is None:
        raise table.error(key, "has neither minimum nor maximum")
    for bound in (low, high):
        if bound is not None and bound < 0:
            raise table.error(key, f"{bound:g} is below 0, as no {ATTRIBUTES[key].words} is")
    if low is not None and high is not None and low > high:
        raise table.error(key, f"minimum {low:g} is above maximum {high:g}: no image would lie within")
    return EnvelopeLimit(key, low, high)


def _check_modalities(table: ManifestTable, limits: Envelope) -> None:
    """No attribute that images of these modalities never have."""
    stated = {value for limit in limits if limit.attribute == "Modality" for value in limit.values}
    for limit in limits:
        having = ATTRIBUTES[limit.attribute].modalities
        if stated and having and not stated & having:
            raise table.error(
                limit.attribute, f"images of modality {', '.join(sorted(stated))} do not have it: none would lie within"
            )
