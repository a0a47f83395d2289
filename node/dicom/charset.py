"""Text of the source images, decoded for certain or not at all (PS3.5 6.1; case 38).

pydicom replaces what it cannot decode; a patient's name must never go out that way. So the raw bytes
are decoded here, by the label first, and by what real senders get wrong next: UTF-8 or EUC-KR
without or with another label, misspelt labels, escape sequences left out, Windows' superset of KS X 1001.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence

from pydicom.charset import CODES_TO_ENCODINGS, convert_encodings, decode_bytes, python_encoding

_DEFAULT = "iso8859"
"""pydicom's name for the default repertoire; Python would read any byte with it, so high bytes are refused."""
_SINGLE_BYTE_LABELS = {"", "ISO_IR 6", "ISO_IR 100"}
_SUPERSETS = {"euc_kr": ("euc_kr", "cp949"), "iso_ir_58": ("gb2312", "gb18030")}
_UNWRITABLE = {"ISO 2022 IR 58"}
"""pydicom 3.0.2 writes it without its escape sequence, so that nobody reads it as Chinese."""
_WITHOUT_EXTENSIONS = re.compile(r"|ISO_IR (13|100|101|109|110|126|127|138|144|148|166|192)|GB18030|GBK")
_WITH_EXTENSIONS = re.compile(r"ISO 2022 IR (6|13|58|87|100|101|109|110|126|127|138|144|148|149|159|166)")
_DELIMITERS = {ord("^"), ord("=")}
_MISSPELT = re.compile(r"ISO[ _-]*(?:2022[ _-]*)?IR[ _-]*(?P<register>\d{1,3})|ISO[ _-]*8859[ _-]*(?P<part>\d{1,2})")
_ONLY_WITH_EXTENSIONS = {"58", "87", "149", "159"}
"""Registration numbers of sets of two bytes a character: a Defined Term only with code extensions."""
_ONLY_WITHOUT_EXTENSIONS = {"192"}
_REGISTERS = {
    "1": "100",
    "2": "101",
    "3": "109",
    "4": "110",
    "5": "144",
    "6": "127",
    "7": "126",
    "8": "138",
    "9": "148",
    "11": "166",
}
"""Parts of ISO 8859 to their registration numbers (PS3.3 C.12.1.1.2)."""
_OTHER_NAMES = {"UTF8": "ISO_IR 192", "GB18030": "GB18030", "EUCKR": "ISO 2022 IR 149", "KSX1001": "ISO 2022 IR 149"}
"""What the sets are called elsewhere, without what separates the parts of a name."""


class UndecodableTextError(ValueError):
    """Bytes that no character set at hand turns into text; the message holds no patient data."""


def _is_text(value: str) -> bool:
    """No replacement, control, unassigned or private-use character: the marks of a wrong guess."""
    return all(
        character in "\t\n\r\f" or (character != "\ufffd" and unicodedata.category(character) not in {"Cc", "Cn", "Co"})
        for character in value
    )


def _strict(raw: bytes, encoding: str) -> str | None:
    try:
        text = raw.decode(encoding)
    except (UnicodeDecodeError, LookupError):
        return None
    return text if _is_text(text) else None


def _without_escapes(raw: bytes) -> bytes:
    for escape in sorted(CODES_TO_ENCODINGS, key=len, reverse=True):
        raw = raw.replace(escape, b"")
    return raw


def _defined_term(label: str) -> str:
    """The Defined Term (PS3.3 C.12.1.1.2) that a label misspells; the label itself where that is not certain."""
    label = label.strip()
    if label in python_encoding:
        return label
    found = _MISSPELT.fullmatch(label.upper())
    if found is None:
        return _OTHER_NAMES.get(re.sub(r"[ _-]", "", label.upper()), label)
    register = found["register"] or _REGISTERS.get(found["part"], "")
    register = register.lstrip("0") or "0"
    has_extensions = register in _ONLY_WITH_EXTENSIONS or ("2022" in label and register not in _ONLY_WITHOUT_EXTENSIONS)
    term = f"ISO 2022 IR {register}" if has_extensions else f"ISO_IR {register}"
    return term if term in python_encoding else label


def _by_label(raw: bytes, labels: Sequence[str]) -> str | None:
    known = [label for label in labels if label in python_encoding]
    if not known or set(known) <= {"", "ISO_IR 6", "ISO 2022 IR 6"}:
        return None
    encodings = convert_encodings([*labels] if labels[0] in python_encoding else known)
    text = decode_bytes(raw, encodings, _DELIMITERS)
    high = any(0x80 <= ord(character) <= 0xFF for character in text)
    if _is_text(text) and not (encodings[0] == _DEFAULT and high):
        return text
    bare = _without_escapes(raw)
    for encoding in encodings:
        for candidate in _SUPERSETS.get(encoding, (encoding,)):
            text_without = None if candidate == _DEFAULT else _strict(bare, candidate)
            if text_without is not None:
                return text_without
    return None


def decode_text(raw: bytes, labels: Sequence[str], assumed: str = "") -> str:
    """The text of one element value.

    `labels`: the Specific Character Set that holds for it, also misspelt (`ISO IR 192`, `UTF-8`);
    `assumed`: one to try where the label is missing or does not fit. Raises `UndecodableTextError` where nothing fits.
    """
    given = [label.strip() for label in labels] or [""]
    labels = [_defined_term(label) for label in given]
    if raw.isascii() and b"\x1b" not in raw:
        return raw.decode("ascii")
    # Text in Latin-1 is next to never valid UTF-8 by chance, and mislabelled UTF-8 is common.
    if set(labels) <= _SINGLE_BYTE_LABELS and b"\x1b" not in raw:
        text = _strict(raw, "utf-8")
        if text is not None:
            return text
    for candidate in (labels, [_defined_term(label) for label in assumed.split("\\")]):
        text = _by_label(raw, candidate)
        if text is not None:
            return text
    raise UndecodableTextError(
        f"{len(raw)} bytes are not text in Specific Character Set {chr(92).join(given) or '(none)'!r}"
        + (f" nor in the assumed {assumed!r}" if assumed else "; state the sender's character set in the configuration")
    )


def _has(character: str, encoding: str) -> bool:
    try:
        character.encode(encoding)
    except (UnicodeEncodeError, LookupError):
        return False
    return True


def are_defined_terms(labels: Sequence[str]) -> bool:
    """Whether these are values that Specific Character Set may have, one beside the other (PS3.3 C.12.1.1.2)."""
    first, *more = labels or [""]
    if not more and _WITHOUT_EXTENSIONS.fullmatch(first):
        return True
    extensions = ([first] if first else []) + list(more)
    return all(_WITH_EXTENSIONS.fullmatch(label) for label in extensions)


def can_encode(text: str, labels: Sequence[str]) -> bool:
    """Whether `text` can be written in these character sets without loss, by the library we write with."""
    if text.isascii():
        return True
    labels = [label.strip() for label in labels]
    if not labels or any(label not in python_encoding or label in _UNWRITABLE for label in labels):
        return False
    encodings = [encoding for encoding in convert_encodings(labels) if encoding != _DEFAULT]
    return all(character.isascii() or any(_has(character, encoding) for encoding in encodings) for character in text)
