"""Whose result it is: patient, study and request, copied from a source image and never guessed.

Identifiers are copied as they are, or the result is held; what only describes is repaired or left out, and told.
`node.results.source.copied` lists which is which.
"""

from __future__ import annotations

from dataclasses import dataclass

from pydicom import Dataset

from node.dicom.uids import is_acceptable_uid
from node.results.errors import NotEncodableError
from node.results.source.copied import REQUEST, TYPE_2, of_patient_and_study
from node.results.source.copying import CopyChanges, CopySource, character_set, copied, kept_items

_SPECIES = ("PatientSpeciesDescription", "PatientSpeciesCodeSequence")
_OF_ANIMALS = ("PatientBreedDescription", "PatientBreedCodeSequence", "BreedRegistrationSequence")
_METHODS = ("DeidentificationMethod", "DeidentificationMethodCodeSequence")


@dataclass(frozen=True)
class SourceIdentity:
    """What results take from an image."""

    patient_and_study: Dataset
    """Patient, General Study, Patient Study, time zone; Type 2 attributes are there even when empty."""
    requests: tuple[Dataset, ...]
    """Items for Request Attributes Sequence; each has a Requested Procedure ID."""
    changes: tuple[str, ...]
    """What could not be copied as it is: attribute, what was done, why. No values."""


def identity_of(header: Dataset, assumed: str = "") -> SourceIdentity:
    """Patient, study and requests from one source image's header; `assumed`: the character set of unlabelled text.

    Raises `NotEncodableError` where Patient ID is missing, a UID is missing or malformed, or something else that
    identifies cannot be copied as it is.
    """
    changes = CopyChanges()
    source = CopySource(header, tuple(character_set(header)), assumed, changes)
    identity = copied(source, of_patient_and_study())
    for keyword in TYPE_2:
        if keyword not in identity:
            setattr(identity, keyword, "")
    if not str(identity.PatientID).strip():
        raise NotEncodableError("PatientID", "empty in the source image; a result never goes to a guessed patient")
    if not is_acceptable_uid(str(identity.get("StudyInstanceUID", ""))):
        raise NotEncodableError("StudyInstanceUID", "missing or malformed in the source image")
    _make_whole(identity, changes)
    requests = kept_items(source, "RequestAttributesSequence", REQUEST) if "RequestAttributesSequence" in header else []
    return SourceIdentity(identity, tuple(requests), tuple(changes.told))


def _make_whole(identity: Dataset, changes: CopyChanges) -> None:
    """What the Standard asks for because of what else is there (Types 1C and 2C of C.7.1.1)."""
    if identity.get("PatientIdentityRemoved") == "YES" and not any(method in identity for method in _METHODS):
        identity.DeidentificationMethod = "Not stated in the source images"
    for one, other in (("ResponsiblePerson", "ResponsiblePersonRole"), ("ResponsiblePersonRole", "ResponsiblePerson")):
        if one in identity and other not in identity:
            del identity[one]
            changes.tell("", one, f"left out: without {other}")
    if any(species in identity for species in _SPECIES):
        for keyword in _OF_ANIMALS:
            if keyword not in identity:
                setattr(identity, keyword, [] if keyword.endswith("Sequence") else "")
        for keyword in ("ResponsiblePerson", "ResponsibleOrganization", "PatientSexNeutered"):
            if keyword not in identity:
                setattr(identity, keyword, "")
    else:
        for keyword in _OF_ANIMALS:
            if keyword in identity:
                del identity[keyword]
                changes.tell("", keyword, "left out: without PatientSpeciesCodeSequence")
