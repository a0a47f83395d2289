"""Sentences that the node adds to the limits of a plugin's analysis, and the reasons in them.

A result keeps them in English, since it is made before anybody knows where it goes; readers get them in the language of
their destination (`node.results.texts`).
"""

from __future__ import annotations

import re
from enum import StrEnum

from plugins import notes


class OwnNote(StrEnum):
    """Each with the places that `str.format` fills."""

    NOT_SENT = "Not sent: object {number} of the program: {why}."
    MORE_NOT_SENT = "Not sent: {count} more of the returned objects."
    FINDINGS_LEFT_OUT = "Not in this report: {count} findings of the returned objects."
    NOTHING_CAME = "The program returned no DICOM object."
    NOT_OUTLINED = notes.NOT_OUTLINED
    PARTS_LEFT_OUT = notes.PARTS_LEFT_OUT
    PARTLY_SEEN = notes.PARTLY_SEEN
    RESAMPLED = "Computed on another grid and brought to that of the images (nearest voxel): {names}."
    ENVELOPE_RANGE = (
        "Outside of what this was validated on: the {what} is {found}; it was validated from {low} to {high}."
    )
    ENVELOPE_LEAST = "Outside of what this was validated on: the {what} is {found}; it was validated from {low} up."
    ENVELOPE_MOST = "Outside of what this was validated on: the {what} is {found}; it was validated up to {high}."
    ENVELOPE_LIST = "Outside of what this was validated on: the {what} is {found}; it was validated for {names}."
    ENVELOPE_CONTRAST = "Outside of what this was validated on: the images state a contrast agent."
    ENVELOPE_NO_CONTRAST = "Outside of what this was validated on: the images state no contrast agent."
    ENVELOPE_UNKNOWN = "Not known whether this was validated on such images: they do not state the {what}."
    ANOTHER_STUDY = "it belongs to another study"
    ANOTHER_PATIENT = "it belongs to another patient"
    OTHER_ISSUER = "it belongs to another patient: its Patient ID is that of another issuer"
    TWICE = "it has the element {element} twice"
    ODD_IDENTITY = "its {name} is a sequence, or has more than {bytes} bytes"
    LOOSE = "{bytes} bytes after its pixel data are not an element"
    SAME_UID = "another one has the same SOP Instance UID"
    UID_OF_IMAGE = "it has the SOP Instance UID of an image that the program was given"
    NO_UID = "its {name} is missing or is not a UID"
    NOT_STORED = "its SOP class {uid} is not one that is stored"
    EMPTY = "is empty"
    NOT_WHOLE = "is not a whole DICOM object: {problem}"
    NOT_DICOM = "is not a DICOM file"

    def read(self, text: str) -> dict[str, str] | None:
        """What fills the places of this sentence in a text; None where the text is not this sentence."""
        found = re.fullmatch(re.sub(r"\\\{(\w+)\\\}", r"(?P<\1>.+)", re.escape(self)), text)
        return found.groupdict() if found else None
