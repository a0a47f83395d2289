"""What a value may be by its Value Representation (PS3.5 6.2): for what is copied from images and for what leaves."""

from __future__ import annotations

import re
import unicodedata
from datetime import date

from pydicom import config
from pydicom.valuerep import validate_value

from node.dicom.uids import is_valid_uid
from node.dicom.vr import LONG_TEXTS

_FORMS = {
    "TM": re.compile(r"([01]\d|2[0-3])([0-5]\d([0-5]\d(\.\d{1,6})?|60)?)?"),
    "AS": re.compile(r"\d{3}[DWMY]"),
    "CS": re.compile(r"[A-Z0-9 _]{1,16}"),
    "DS": re.compile(r"[+-]?(\d+\.?\d*|\.\d+)(E[+-]?\d+)?", re.IGNORECASE),
    "UR": re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:\S+"),
}
_NAME_COMPONENTS = 5


def problem_of(vr: str, value: str) -> str:
    """Why a value is wrong by its Value Representation (PS3.5 6.2), without the value; empty where it is right."""
    if not value:
        return ""
    if vr == "UI":
        return "" if is_valid_uid(value) else "malformed UID"
    if unwritable(value, vr):
        return "a control or replacement character"
    if vr == "DA" and not _is_date(value):
        return "there is no such date"
    if (form := _FORMS.get(vr)) and not form.fullmatch(value):
        return f"not in the form of VR {vr}"
    if vr == "PN" and any(len(group.split("^")) > _NAME_COMPONENTS for group in value.split("=")):
        return f"a name of more than {_NAME_COMPONENTS} components"
    try:
        validate_value(vr, value, config.RAISE)
    except (ValueError, TypeError) as error:
        return _without_value(str(error))
    return ""


def _without_value(message: str) -> str:
    """pydicom's message holds the value, which may be a patient's; the rest says what is wrong with it."""
    return message.split(":")[0].split(". Please")[0] if "'" in message else message.split(". Please")[0]


def is_decimal(text: str) -> bool:
    """Whether it is a number as DS writes it, of whatever length."""
    return bool(_FORMS["DS"].fullmatch(text))


def _is_date(value: str) -> bool:
    try:
        return bool(re.fullmatch(r"\d{8}", value) and date(int(value[:4]), int(value[4:6]), int(value[6:])))
    except ValueError:
        return False


def unwritable(text: str, vr: str) -> bool:
    """Whether it has a control character that its VR does not allow, or one that stands for what was lost."""
    if text.isprintable() and "\ufffd" not in text:
        return False
    allowed = "\t\n\f\r" if vr in LONG_TEXTS else ""
    return any(
        character == "\ufffd" or (unicodedata.category(character) in {"Cc", "Cs", "Cn"} and character not in allowed)
        for character in text
    )
