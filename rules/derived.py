"""Facts that are read from several attributes of an image, in words that a rule can ask for.

Headers say the same thing in different places: a mammogram's side is in Image Laterality, in a
frame's anatomy or in the series' Laterality, its view in a code or in the older View Position.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping

from rules import values
from rules.facts import (
    Age,
    CodeItem,
    Datum,
    FromAttributes,
    FromInstance,
    FromTrait,
    InstanceFacts,
    Item,
    SeriesFacts,
    UnkeptValue,
)

SIDES = {"L": "left", "R": "right", "B": "both", "U": "unpaired"}
_SIDE_ATTRIBUTES = ("ImageLaterality", "FrameLaterality", "Laterality")

_VIEWS = {
    "mlo": ("399368009", "R-10226"),
    "cc": ("399162004", "R-10242"),
    "ml": ("399260004", "R-10224"),
    "lm": ("399352003", "R-10228"),
    "lmo": ("399099002", "R-10230"),
    "fb": ("399196006", "R-10244"),
    "sio": ("399188001", "R-102D0"),
    "iso": ("441555000", "R-40AAA"),
    "xccl": ("399192008", "R-1024A", "Y-X1770"),
    "xccm": ("399101009", "R-1024B", "Y-X1771"),
    "specimen": ("127457009", "G-8310"),
}
"""View for Mammography (PS3.16 CID 4014): SNOMED CT, and the SNOMED-RT codes of older objects."""
VIEW_OF_CODE = {code: view for view, codes in _VIEWS.items() for code in codes}
"""Code Value → `cc`, `mlo` and so on."""

_MODIFIERS = {
    "cleavage": ("399161006", "R-102D2"),
    "axillary tail": ("399011000", "R-102D1"),
    "axillary tissue": ("442580003", "R-40AB2"),
    "rolled lateral": ("399197002", "R-102D3"),
    "rolled medial": ("399226006", "R-102D4"),
    "rolled inferior": ("414493004", "R-102CA"),
    "rolled superior": ("415670009", "R-102C9"),
    "implant displaced": ("399209000", "R-102D5"),
    "magnification": ("399163009", "R-102D6"),
    "spot compression": ("399055006", "R-102D7"),
    "tangential": ("399110001", "R-102C2"),
    "nipple in profile": ("442581004", "R-40AB3"),
    "infra-mammary fold": ("442593008", "R-40ABE"),
    "anterior compression": ("441752004", "P2-00161"),
}
"""View Modifier for Mammography (PS3.16 CID 4015)."""
MODIFIERS = tuple(_MODIFIERS)
_MODIFIER_OF_CODE = {code: name for name, codes in _MODIFIERS.items() for code in codes}

PLANES = ("axial", "coronal", "sagittal", "oblique")
_ALONG = math.cos(math.radians(37))
"""Least part of a slice's normal along an axis of the patient: a head CT tilted by 30 degrees is still axial."""

BREAST_IMAGES = ("mammogram", "tomosynthesis", "synthetic")
_TOMOSYNTHESIS = "1.2.840.10008.5.1.4.1.1.13.1.3"
_SECONDARY_CAPTURE = "1.2.840.10008.5.1.4.1.1.7"


def code_of(item: Item) -> CodeItem:
    """The code of an item, with its modifiers (View Modifier Code Sequence and its like)."""
    nested = (keyword for keyword in item if "Modifier" in keyword)
    return _plain_code(item)._replace(
        modifiers=tuple(_plain_code(each) for keyword in nested for each in _items(item, keyword))
    )


def _plain_code(item: Item) -> CodeItem:
    """Code Value, Long Code Value or URN Code Value (PS3.3 table 8.8-1)."""
    value = text_of(item, "CodeValue") or text_of(item, "LongCodeValue") or text_of(item, "URNCodeValue")
    return CodeItem(value, text_of(item, "CodingSchemeDesignator"), text_of(item, "CodeMeaning"))


def text_of(item: Item, keyword: str) -> str:
    """The first value of an attribute as text; "" where there is none."""
    element = item.get(keyword)
    first = element.values[0] if element and element.values else ""
    return "" if isinstance(first, Mapping) else values.text(first) or ""


def _texts(item: Item, keyword: str) -> list[str]:
    element = item.get(keyword)
    found = element.values if element else ()
    return [text.upper() for each in found if not isinstance(each, Mapping) and (text := values.text(each))]


def _items(item: Item, keyword: str) -> list[Item]:
    element = item.get(keyword)
    return [each for each in element.values if isinstance(each, Mapping)] if element else []


def _distinct(found: Iterable[str | None]) -> tuple[Datum, ...]:
    return tuple(dict.fromkeys(each for each in found if each))


def _patient_age(image: Item) -> tuple[Datum, ...]:
    """PatientAge (age at the study, PS3.3 C.7.2.2) or the dates; nothing where the two are over a year apart."""
    stated = values.stated_age(text_of(image, "PatientAge"))
    birth = values.day(text_of(image, "PatientBirthDate"))
    study = values.day(text_of(image, "StudyDate"))
    counted = values.age_between(birth, study) if birth and study else None
    if stated and counted and abs(stated.years - counted.years) > 1:
        return ()
    ages: tuple[Age | None, ...] = (counted or stated,)
    return tuple(age for age in ages if age)


def _laterality(image: Item) -> tuple[Datum, ...]:
    """The first of the image's, its frames' and its series' statement that names a side."""
    stated = (_distinct(SIDES.get(each) for each in _texts(image, keyword)) for keyword in _SIDE_ATTRIBUTES)
    return next(filter(None, stated), ())


def _view(image: Item) -> tuple[Datum, ...]:
    """The view by its code; View Position where there is no code that is known."""
    coded = _distinct(VIEW_OF_CODE.get(code_of(item).value) for item in _items(image, "ViewCodeSequence"))
    return coded or _distinct(each.lower() for each in _texts(image, "ViewPosition"))


def _view_modifiers(image: Item) -> tuple[Datum, ...]:
    """Modifiers within the view's code, those that nobody knows by their meaning."""
    views = _items(image, "ViewCodeSequence")
    nested = [code_of(each) for view in views for each in _items(view, "ViewModifierCodeSequence")]
    return _distinct(_MODIFIER_OF_CODE.get(code.value) or code.meaning.lower() or code.value for code in nested)


def _slice_plane(image: Item) -> tuple[Datum, ...]:
    """The patient's plane that each orientation lies in (PS3.3 C.7.6.2.1.1)."""
    element = image.get("ImageOrientationPatient")
    stated = [values.number(each) for each in (element.values if element else ()) if not isinstance(each, Mapping)]
    cosines = [each for each in stated if each is not None]
    if len(cosines) != len(stated) or len(cosines) % 6:
        return ()
    return _distinct(_plane(cosines[start : start + 6]) for start in range(0, len(cosines), 6))


def _plane(cosines: list[float]) -> str | None:
    (a, b, c), (d, e, f) = cosines[:3], cosines[3:]
    normal = (b * f - c * e, c * d - a * f, a * e - b * d)
    length = sum(each * each for each in normal) ** 0.5
    if not 0.5 < length < 2:  # NaN, zeros or no directions at all
        return None
    along = [abs(each) / length for each in normal]
    sagittal, coronal, axial = (each >= _ALONG for each in along)
    return "axial" if axial else "coronal" if coronal else "sagittal" if sagittal else "oblique"


def _breast_image(image: InstanceFacts, series: SeriesFacts) -> tuple[Datum, ...]:
    """What kind of breast image it is, also where tomosynthesis was stored as secondary capture."""
    if values.text(series.modality) != "MG":
        return ()
    kinds = set(_texts(image.attributes, "ImageType")[2:])
    if kinds & {"GENERATED_2D", "TOMO_2D", "C-VIEW", "SYNTHETIC_2D"}:
        return ("synthetic",)
    captured = image.sop_class_uid.startswith(_SECONDARY_CAPTURE)
    sliced = captured and (image.number_of_frames > 1 or "HOLOGIC" in text_of(image.attributes, "Manufacturer").upper())
    if image.sop_class_uid == _TOMOSYNTHESIS or sliced or "TOMOSYNTHESIS" in kinds:
        return ("tomosynthesis",)
    return () if captured or image.number_of_frames < 1 else ("mammogram",)


def _of(keywords: tuple[str, ...], read: Callable[[Item], tuple[Datum, ...]]) -> FromAttributes:
    """A reader of a fact; where one of its attributes is not kept, the fact is not known either."""

    def known(image: Item) -> tuple[Datum, ...]:
        cut = [element.vr for each in keywords if (element := image.get(each)) and not element.kept]
        return (UnkeptValue(cut[0]),) if cut else read(image)

    return FromAttributes(keywords, known)


PATIENT_AGE = _of(("PatientAge", "PatientBirthDate", "StudyDate"), _patient_age)
LATERALITY = _of(_SIDE_ATTRIBUTES, _laterality)
VIEW = _of(("ViewCodeSequence", "ViewPosition"), _view)
VIEW_MODIFIERS = _of(("ViewCodeSequence",), _view_modifiers)
SLICE_PLANE = _of(("ImageOrientationPatient",), _slice_plane)
BREAST_IMAGE = FromInstance(_breast_image)
MARKS = FromTrait("marks", lambda marks: tuple(sorted(marks)))
