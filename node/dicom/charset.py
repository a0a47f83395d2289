"""Text of the source images, decoded for certain or not at all (PS3.5 6.1; case 38).

pydicom replaces what it cannot decode; a patient's name must never go out that way. So the raw bytes
are decoded here, by the label first, and by what real senders get wrong next: UTF-8 or EUC-KR
without or with another label, misspelt labels, escape sequences left out, Windows' superset of KS X 1001.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence

from pydicom.charset import CODES_TO_ENCODINGS, convert_encodings, decode_bytes, python_encoding

from node.dicom.character_sets import ONLY_WITH_EXTENSIONS, defined_term

_DEFAULT = "iso8859"
"""pydicom's name for the default repertoire; Python would read any byte with it, so high bytes are refused."""
_SINGLE_BYTE_LABELS = {"", "ISO_IR 6", "ISO_IR 100"}
_SUPERSETS = {"euc_kr": ("euc_kr", "cp949"), "iso_ir_58": ("gb2312", "gb18030")}
_UNWRITABLE = {"ISO 2022 IR 58"}
"""pydicom 3.0.2 writes it without its escape sequence, so that nobody reads it as Chinese."""
_DELIMITERS = {ord("^"), ord("=")}
_TWO_BYTES = {f"ISO 2022 IR {register}" for register in ONLY_WITH_EXTENSIONS} | {"GB18030", "GBK"}


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


def _in_two_bytes(raw: bytes, as_utf_8: str, declared: Sequence[str]) -> str | None:
    """The text in a set of two bytes a character that the sender is known for, where UTF-8 may be the wrong reading.

    A syllable of EUC-KR can be one letter of UTF-8 beyond ASCII, never one of Hangul or Han.
    """
    if max(as_utf_8) >= "\u0800" or not any(label in _TWO_BYTES for label in declared):
        return None
    return _by_label(raw, declared)


def decode_text(raw: bytes, labels: Sequence[str], assumed: str = "") -> str:
    """The text of one element value.

    `labels`: the Specific Character Set that holds for it, also misspelt (`ISO IR 192`, `UTF-8`);
    `assumed`: the sender's, to try where the label is missing or does not fit.
    Raises `UndecodableTextError` where nothing fits.
    """
    given = [label.strip() for label in labels] or [""]
    labels = [defined_term(label) for label in given]
    if raw.isascii() and b"\x1b" not in raw:
        return raw.decode("ascii")
    declared = [defined_term(label) for label in assumed.split("\\")]
    # Text in Latin-1 is next to never valid UTF-8 by chance, and mislabelled UTF-8 is common.
    if set(labels) <= _SINGLE_BYTE_LABELS and b"\x1b" not in raw:
        text = _strict(raw, "utf-8")
        if text is not None:
            return (_in_two_bytes(raw, text, declared) if labels == [""] else None) or text
    for candidate in (labels, declared):
        text = _by_label(raw, candidate)
        if text is not None:
            return text
    raise UndecodableTextError(
        f"{len(raw)} bytes are not text in Specific Character Set {chr(92).join(given) or '(none)'!r}"
        + (
            f" nor in {assumed!r}, which the configuration says of the sender"
            if assumed
            else "; state the sender's in the configuration (modalities: character_set)"
        )
    )


def _has(character: str, encoding: str) -> bool:
    try:
        character.encode(encoding)
    except (UnicodeEncodeError, LookupError):
        return False
    return True


def can_encode(text: str, labels: Sequence[str]) -> bool:
    """Whether `text` can be written in these character sets without loss, by the library we write with."""
    if text.isascii():
        return True
    labels = [label.strip() for label in labels]
    if not labels or any(label not in python_encoding or label in _UNWRITABLE for label in labels):
        return False
    encodings = [encoding for encoding in convert_encodings(labels) if encoding != _DEFAULT]
    return all(character.isascii() or any(_has(character, encoding) for encoding in encodings) for character in text)
