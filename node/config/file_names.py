"""How files in a folder are named: a template of fixed text and of fields, each of which is a value of the object.

A template has no characters but these, so that it never leads out of its folder.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Annotated

from pydantic import AfterValidator

FIELDS = {
    "patient_id": "PatientID",
    "accession_number": "AccessionNumber",
    "study_date": "StudyDate",
    "study_instance_uid": "StudyInstanceUID",
    "modality": "Modality",
    "series_number": "SeriesNumber",
    "series_instance_uid": "SeriesInstanceUID",
    "instance_number": "InstanceNumber",
    "sop_instance_uid": "SOPInstanceUID",
}
"""The attribute that a field is."""
DEFAULT = "{patient_id}/{study_date}/{study_instance_uid}/{modality}/{sop_instance_uid}.dcm"
DEEPEST = 8
"""Folders within folders, and the file."""
_LONGEST_TEXT, _MOST_FIELDS = 48, 3
"""Of one name, so that it has no more bytes than file systems take."""
_PIECE = re.compile(r"\{([a-z_]+)\}|([A-Za-z0-9_.-]+)")
_RESERVED = re.compile(r"(CON|PRN|AUX|NUL|COM[0-9]|LPT[0-9])(\..*)?", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class NamePiece:
    """A piece of the name of a folder or file: `text` as it is, or the value of a field."""

    text: str
    is_field: bool


def is_reserved(name: str) -> bool:
    """Whether Windows takes it for a device, whatever folder it is in.

    >>> is_reserved("con.dcm"), is_reserved("contrast.dcm")
    (True, False)
    """
    return _RESERVED.fullmatch(name) is not None


def parts_of(template: str) -> tuple[tuple[NamePiece, ...], ...]:
    """The names of a template, folders first, each in pieces; ValueError, in words for the admin.

    >>> [[piece.text for piece in name] for name in parts_of("{modality}/ai-{sop_instance_uid}.dcm")]
    [['modality'], ['ai-', 'sop_instance_uid', '.dcm']]
    """
    names = template.split("/")
    if len(names) > DEEPEST:
        raise ValueError(f"{template!r}: at most {DEEPEST - 1} folders within each other")
    return tuple(_pieces(template, name) for name in names)


def _pieces(template: str, name: str) -> tuple[NamePiece, ...]:
    if not name:
        raise ValueError(f"{template!r}: a name between two slashes is empty; it begins and ends without a slash")
    made, at = [], 0
    for found in _PIECE.finditer(name):
        if found.start() != at:
            break
        at = found.end()
        field, text = found.groups()
        if field is not None and field not in FIELDS:
            raise ValueError(f"{template!r}: there is no field {{{field}}}; there is {', '.join(FIELDS)}")
        made.append(NamePiece(field or text, field is not None))
    if at != len(name):
        raise ValueError(f"{template!r}: {name!r} has other characters than letters, digits, _ . - and {{field}}")
    if made[0].text.startswith("."):
        raise ValueError(f"{template!r}: a name that begins with a dot is hidden, or leads out of the folder")
    if not made[-1].is_field and made[-1].text.endswith("."):
        raise ValueError(f"{template!r}: a name cannot end with a dot")
    if len(made) == 1 and not made[0].is_field and is_reserved(name):
        raise ValueError(f"{template!r}: {name!r} is a device on Windows")
    if sum(each.is_field for each in made) > _MOST_FIELDS:
        raise ValueError(f"{template!r}: at most {_MOST_FIELDS} fields in the name of one folder or file")
    if sum(len(each.text) for each in made if not each.is_field) > _LONGEST_TEXT:
        raise ValueError(f"{template!r}: at most {_LONGEST_TEXT} characters of fixed text in a name")
    return tuple(made)


def _check(template: str) -> str:
    parts_of(template)
    return template


FileNames = Annotated[str, AfterValidator(_check)]
"""A template; `parts_of` takes it apart."""
