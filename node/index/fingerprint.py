"""What two receipts of one SOP instance are compared by: digests, never values.

Five parts, because a difference means something else in each (design: duplicate, correction, conflict):
the patient, the order, the UIDs, the image (its pixels, geometry and laterality), and all the rest.
"""

from __future__ import annotations

import hashlib
from typing import Any

from pydicom.datadict import tag_for_keyword

from node.dicom.elements import PIXELS, Contents, Elements
from node.dicom.values import Header
from node.ledger.rows import to_json

PATIENT = ("PatientID", "IssuerOfPatientID", "PatientName", "PatientBirthDate", "PatientSex")
ORDER = (
    "AccessionNumber",
    "StudyID",
    "StudyDate",
    "StudyTime",
    "AdmissionID",
    "RequestedProcedureID",
    "RequestAttributesSequence",
)
UIDS = ("StudyInstanceUID", "SeriesInstanceUID", "SOPClassUID", "FrameOfReferenceUID")
IMAGE = (
    "Rows",
    "Columns",
    "NumberOfFrames",
    "BitsAllocated",
    "BitsStored",
    "PixelRepresentation",
    "SamplesPerPixel",
    "PhotometricInterpretation",
    "RescaleSlope",
    "RescaleIntercept",
    "Units",
    "ImagePositionPatient",
    "ImageOrientationPatient",
    "PixelSpacing",
    "ImagerPixelSpacing",
    "SliceThickness",
    "SpacingBetweenSlices",
    "PatientPosition",
    "PatientOrientation",
    "ViewPosition",
    "Laterality",
    "ImageLaterality",
    "BodyPartExamined",
    "Modality",
)
NESTED_IMAGE = ("SharedFunctionalGroupsSequence", "PerFrameFunctionalGroupsSequence", "SegmentSequence")
"""Geometry and laterality of enhanced objects, and what the pixels of a segmentation mean: compared as a whole."""
DEPENDS_ON_SYNTAX = frozenset({"PhotometricInterpretation"})
"""Attributes of the image that compressing may change (PS3.5 8.2)."""
_ON_THE_WAY = frozenset({0x00080005, 0x00080054, 0x00080056})
"""Specific Character Set, Retrieve AE Title, Instance Availability: of the encoding or the archive."""
_LENGTH = 16


def fingerprint(contents: Contents, header: Header, transfer_syntax_uid: str) -> dict[str, Any]:
    """The digests of one receipt, JSON-able; see `compare`."""
    image = {keyword: digest for keyword in IMAGE if (digest := _digest(contents, header, keyword))}
    for keyword in NESTED_IMAGE:
        raw = contents.elements.get(_tag(keyword))
        if raw is not None and isinstance(raw.value, list):
            image[keyword] = _of_elements(*raw.value)
    if image.get("NumberOfFrames") == _short(b"[1]"):
        del image["NumberOfFrames"]  # one frame, stated or not
    return {
        "patient": {keyword: digest for keyword in PATIENT if (digest := _digest(contents, header, keyword))},
        "order": {keyword: digest for keyword in ORDER if (digest := _digest(contents, header, keyword))},
        "uids": {keyword: digest for keyword in UIDS if (digest := _digest(contents, header, keyword))},
        "image": image,
        "pixels": _of_pixels(contents),
        "encoding": _encoding(contents, transfer_syntax_uid),
        "rest": _of_elements(rest_of(contents.elements)),
    }


def _tag(keyword: str) -> int:
    return tag_for_keyword(keyword) or 0


_NAMED = frozenset(_tag(keyword) for keyword in PATIENT + ORDER + UIDS + IMAGE + NESTED_IMAGE)


def _digest(contents: Contents, header: Header, keyword: str) -> str:
    """Digest of an attribute's values; "" where it is absent or empty, which means the same to a reader.

    Of its bytes where they could not be decoded: two names of which nobody can read a letter are not one name.
    """
    vr, values, *_ = header.get(keyword, ["", []])
    if vr == "PN":  # empty components at the end mean nothing (PS3.5 6.2.1.2)
        values = ["=".join(group.rstrip("^ ") for group in str(value).split("=")).rstrip("=") for value in values]
    raw = contents.elements.get(_tag(keyword))
    if any("\ufffd" in str(value) for value in values) and raw is not None and not isinstance(raw.value, list):
        return _short(bytes(raw.value).rstrip(b" \0"))
    values = [value for value in values if value != ""]
    return _short(to_json(values).encode()) if values else ""


def _short(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:_LENGTH]


def _of_pixels(contents: Contents) -> str:
    """Digest of the pixels as encoded; "" where there are none."""
    digest = hashlib.sha256()
    found = False
    for tag in PIXELS & contents.elements.keys():
        value = contents.elements[tag].value
        if not isinstance(value, list):
            digest.update(value)
            found = True
    for fragment in contents.fragments.fragments if contents.fragments else ():
        digest.update(len(fragment).to_bytes(8))
        digest.update(fragment)
        found = True
    return digest.hexdigest() if found else ""


def _encoding(contents: Contents, transfer_syntax_uid: str) -> str:
    """What equal digests of pixels presuppose: native pixels are the same bytes in all little-endian syntaxes."""
    if contents.fragments is not None:
        return transfer_syntax_uid
    return "native" if contents.little else "native, big endian"


def rest_of(elements: Elements) -> Elements:
    """The public attributes that belong to none of the other parts, bulk values included."""
    return {
        tag: raw
        for tag, raw in elements.items()
        if not tag >> 16 & 1 and tag not in _NAMED and tag not in PIXELS and tag not in _ON_THE_WAY
    }


def _of_elements(*items: Elements) -> str:
    digest = hashlib.sha256()
    _feed(digest, list(items))
    return digest.hexdigest()[:_LENGTH]


def _feed(digest: Any, items: list[Elements]) -> None:
    for item in items:
        digest.update(b"(")
        for tag in sorted(item):
            if tag & 0xFFFF == 0:  # group lengths, retired
                continue
            value = item[tag].value
            digest.update(tag.to_bytes(4))
            if isinstance(value, list):
                _feed(digest, value)
            elif len(value) > 1024:
                digest.update(len(value).to_bytes(8))
                digest.update(value)
            else:
                content = bytes(value).rstrip(b" \0")
                digest.update(len(content).to_bytes(8))
                digest.update(content)
        digest.update(b")")
