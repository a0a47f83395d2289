"""What docs/rules.md says of single values: how they are read, when an operator holds, what is preferred."""

from __future__ import annotations

import math
import re
import unicodedata
from collections.abc import Mapping, Sequence
from datetime import date, timedelta
from typing import TYPE_CHECKING, Any

from pydicom.datadict import dictionary_VR
from pydicom.dataset import Dataset

if TYPE_CHECKING:
    from tests.support.rules.from_the_page import Image, Scope

Tri = bool | None
NUMBERS = {"DS", "FD", "FL", "IS", "SL", "SS", "UL", "US"}
WHOLE = {"IS", "SL", "SS", "UL", "US"}
FACTS = {"image_count": "US", "series_count": "US", "patient_age": "age", "laterality": "CS", "slice_plane": "CS"}
SIDES = {"L": "left", "R": "right", "B": "both", "U": "unpaired"}


def vr_of(what: str) -> str:
    return FACTS.get(what) or dictionary_VR(what.rpartition(".")[2])


def raw(what: str, image: Image, scope: Scope) -> tuple[list[Any], bool]:
    """The values that are kept, and whether others are there that are not."""
    header = image.header
    if what == "image_count":
        return [sum(each.frames for each in scope.images)], False
    if what == "series_count":
        return [len({each.series for each in scope.study})], False
    if what == "laterality":
        return laterality(header), False
    if what == "slice_plane":
        return slice_plane(header), False
    if what == "patient_age":
        return [header], False
    return at_path(what.split("."), header)


def at_path(path: Sequence[str], header: Dataset) -> tuple[list[Any], bool]:
    if len(path) > 1:
        found = [at_path(path[1:], item) for item in header.get(path[0]) or []]
        return [value for values, _ in found for value in values], any(cut for _, cut in found)
    if path[0] not in header:
        return [], False
    value = header[path[0]].value
    if dictionary_VR(path[0]) == "SQ":
        return list(value), False
    several = list(value) if isinstance(value, list) or type(value).__name__ == "MultiValue" else [value]
    several = [each for each in several if each is not None and str(each).strip()]
    if sum(len(str(each).encode()) + 1 for each in several) - 1 > 1024 or len(several) > 256:
        return [], True
    return several, False


def laterality(header: Dataset) -> list[str]:
    for keyword in ("ImageLaterality", "FrameLaterality", "Laterality"):
        if (side := SIDES.get(str(header.get(keyword, "")))) is not None:
            return [side]
    return []


def slice_plane(header: Dataset) -> list[str]:
    cosines = [float(each) for each in header.get("ImageOrientationPatient") or []]
    if len(cosines) != 6:
        return []
    (a, b, c), (d, e, f) = cosines[:3], cosines[3:]
    normal = (b * f - c * e, c * d - a * f, a * e - b * d)
    length = math.hypot(*normal)
    tilts = [math.degrees(math.acos(min(1.0, abs(part) / length))) for part in normal]
    for plane, tilt in zip(("sagittal", "coronal", "axial"), tilts, strict=True):
        if tilt <= 37:
            return [plane]
    return ["oblique"]


def age_in(header: Dataset, unit: str) -> int | None:
    """Completed units at the study."""
    stated = re.fullmatch(r"(\d{3})([DWMY])", str(header.get("PatientAge", "")))
    born, study = day(header.get("PatientBirthDate")), day(header.get("StudyDate"))
    counted = (study - born).days if born and study and study >= born else None
    months = whole_months(born, study) if counted is not None and born and study else None
    if stated and months is not None and abs(stated_age(stated, "years") - months // 12) > 1:
        return None
    if counted is not None and months is not None:
        return {"years": months // 12, "months": months, "weeks": counted // 7, "days": counted}[unit]
    return stated_age(stated, unit) if stated else None


def stated_age(stated: re.Match[str], unit: str) -> int:
    """A PatientAge as completed units: the first day of what it says."""
    number, length = int(stated[1]), {"D": 1.0, "W": 7.0, "M": 30.4375, "Y": 365.25}[stated[2]]
    days = int(number * length)
    years = {"Y": number, "M": number // 12}.get(stated[2], int(days // 365.25))
    months = {"Y": number * 12, "M": number}.get(stated[2], int(days // 30.4375))
    return {"years": years, "months": months, "weeks": days // 7, "days": days}[unit]


def whole_months(born: date, study: date) -> int:
    return (study.year - born.year) * 12 + study.month - born.month - (study.day < born.day)


def day(value: Any) -> date | None:
    found = re.fullmatch(r"(\d{4})\.?(\d\d)\.?(\d\d)", str(value or "").strip())
    try:
        return date(*map(int, found.groups())) if found else None
    except ValueError:
        return None


def read(what: str, values: Sequence[Any]) -> list[Any] | None:
    """The values as what is asked for; None if one cannot be read so."""
    vr = vr_of(what)
    if vr in NUMBERS:
        found = [number(each) for each in values]
        return None if None in found else found
    if vr == "DA":
        days = [day(each) for each in values]
        return None if None in days else days
    if vr == "TM":
        times = [seconds(each) for each in values]
        return None if None in times else times
    if vr == "age":
        return list(values) if values and age_in(values[0], "years") is not None else None
    return [each if isinstance(each, Dataset) else str(each).strip() for each in values]


def number(value: Any) -> float | None:
    text = str(value).strip()
    return float(text) if re.fullmatch(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?", text) else None


def seconds(value: Any) -> float | None:
    found = re.fullmatch(r"(\d\d):?(\d\d)?:?(\d\d(?:\.\d+)?)?", str(value).strip())
    if not found or int(found[1]) > 23 or int(found[2] or 0) > 59 or float(found[3] or 0) >= 60:
        return None
    return int(found[1]) * 3600 + int(found[2] or 0) * 60 + float(found[3] or 0)


def has_value(what: str, test: Any, image: Image, scope: Scope) -> Tri:
    values, cut = raw(what, image, scope)
    if cut:
        return True
    operands = [each for part in (test.values() if isinstance(test, Mapping) else [test]) for each in as_list(part)]
    if any(str(each).startswith("StudyDate") and meant(each, scope) is None for each in operands):
        return False
    if isinstance(test, Mapping) and "present" in test:
        return bool(values) and (what != "patient_age" or read(what, values) is not None)
    return bool(values) and read(what, values) is not None


def holds(what: str, test: Any, image: Image, scope: Scope) -> Tri:
    values, cut = raw(what, image, scope)
    readings = read(what, values) if values else None
    if cut:
        return None
    if readings is None:
        return False
    asked = test if isinstance(test, Mapping) else {"in" if isinstance(test, list) else "is": test}
    options = {key: asked[key] for key in ("tolerance", "case_sensitive") if key in asked}
    answers = [
        one(what, name, operand, readings, options, scope) for name, operand in asked.items() if name not in options
    ]
    return False if False in answers else None if None in answers else True


def one(what: str, name: str, operand: Any, readings: Sequence[Any], options: Mapping[str, Any], scope: Scope) -> Tri:
    vr = vr_of(what)
    if vr == "SQ":
        codes = {(str(each.get("CodingSchemeDesignator", "")), str(each.get("CodeValue", ""))) for each in readings}
        return any(tuple(each.split(":")) in codes for each in as_list(operand))
    if vr in NUMBERS:
        return all(number_fits(name, operand, each, vr in WHOLE, options.get("tolerance")) for each in readings)
    if vr == "age":
        return all(age_fits(name, operand, each) for each in readings)
    if vr == "DA":
        return date_fits(name, operand, readings, scope)
    if vr == "TM":
        bounds = [seconds(each) or 0.0 for each in as_list(operand)]
        return all(ordered(name, each, bounds) for each in readings)
    return text_fits(name, operand, readings, case=options.get("case_sensitive", False))


def number_fits(name: str, operand: Any, found: float, whole: bool, tolerance: float | None) -> bool:
    def equal(asked: float) -> bool:
        slack = tolerance if tolerance is not None else 0 if whole else 1e-6 * max(abs(found), abs(asked))
        return abs(found - asked) <= slack

    if name == "between":
        return (found > operand[0] or equal(operand[0])) and (found < operand[1] or equal(operand[1]))
    if name in ("is", "in"):
        return any(equal(each) for each in as_list(operand))
    return {
        "at_least": found > operand or equal(operand),
        "at_most": found < operand or equal(operand),
        "above": found > operand and not equal(operand),
        "below": found < operand and not equal(operand),
    }[name]


def age_fits(name: str, operand: Any, header: Dataset) -> bool:
    fits = []
    for each in as_list(operand):
        count, unit = (each, "years") if isinstance(each, int) else (int(each.split()[0]), each.split()[1])
        fits.append((age_in(header, unit) or 0, count))
    if name == "between":
        return fits[0][0] >= fits[0][1] and fits[1][0] <= fits[1][1]
    if name in ("is", "in"):
        return any(found == asked for found, asked in fits)
    found, asked = fits[0]
    return {"at_least": found >= asked, "at_most": found <= asked, "above": found > asked, "below": found < asked}[name]


def date_fits(name: str, operand: Any, readings: Sequence[date], scope: Scope) -> Tri:
    bounds = [meant(each, scope) for each in as_list(operand)]
    if None in bounds:
        return False
    known = [each.toordinal() for each in bounds if each]
    return all(ordered(name, each.toordinal(), known) for each in readings)


def meant(operand: str, scope: Scope) -> date | None:
    if not operand.startswith("StudyDate"):
        return day(operand.replace("-", ""))
    stated = sorted(found for each in scope.study if (found := day(each.header.get("StudyDate"))))
    most = max(stated, key=lambda on: (stated.count(on), -on.toordinal()), default=None)
    more = re.search(r"([+-]) (\d+) days", operand)
    return most + timedelta(days=int(more[1] + more[2])) if most and more else most


def ordered(name: str, found: float, bounds: Sequence[float]) -> bool:
    if name == "between":
        return bounds[0] <= found <= bounds[1]
    return {"is": found in bounds, "in": found in bounds, "before": found < bounds[0], "after": found > bounds[0]}[name]


def text_fits(name: str, operand: Any, readings: Sequence[str], *, case: bool) -> bool:
    def plain(text: str) -> str:
        composed = unicodedata.normalize("NFC", text.strip())
        return composed if case else composed.casefold()

    found, asked = [plain(each) for each in readings], [plain(str(each)) for each in as_list(operand)]
    if name == "contains":
        return all(each in found for each in asked)
    if name == "matches":
        patterns = [re.escape(each).replace(r"\*", ".*") for each in asked]
        return any(re.fullmatch(pattern, text, re.DOTALL) for pattern in patterns for text in found)
    return any(each in asked for each in found)


def preference(what: str, wish: Any, image: Image, scope: Scope) -> tuple[bool, float]:
    """How good an image is: the lower, the better; one without the value comes last."""
    values, cut = raw(what, image, scope)
    if isinstance(wish, list):
        hits = [
            place for place, each in enumerate(wish) if text_fits("matches", each, [str(v) for v in values], case=False)
        ]
        return (True, 0.0) if cut or not values else (False, float(min(hits, default=len(wish))))
    readings = read(what, values)
    if cut or not readings:
        return True, 0.0
    numbers = [float(each.toordinal()) if isinstance(each, date) else float(each) for each in readings]
    rounded = [
        each if vr_of(what) in WHOLE or vr_of(what) in ("DA", "TM") else float(f"{each:.6g}") for each in numbers
    ]
    return False, max(rounded) if wish in ("smallest", "oldest") else max(-each for each in rounded)


def is_original(image: Image) -> bool:
    header = image.header
    equipment = header.get("ContributingEquipmentSequence") or []
    purposes = [each for item in equipment for each in item.get("PurposeOfReferenceCodeSequence") or []]
    if any((str(each.CodeValue), str(each.CodingSchemeDesignator)) == ("109102", "DCM") for each in purposes):
        return False
    kinds = [str(each).upper() for each in at_path(["ImageType"], header)[0]] + ["", ""]
    processed = str(header.get("Modality", "")) in ("CR", "DX", "IO", "MG", "PX", "RF", "RG", "US", "XA")
    return kinds[0] != "DERIVED" or (processed and kinds[1] != "SECONDARY")


def marks_of(_image: Image) -> Sequence[str]:
    """None of these studies is damaged."""
    return ()


def as_list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]
