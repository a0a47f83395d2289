"""What of the images' patient, study and request is copied into results, and how strictly: this list and nothing else.

Patient (PS3.3 C.7.1.1), General Study (C.7.2.1), Patient Study (C.7.2.2), Request Attributes (Table 10-9) and the time
zone of SOP Common (C.12.1). Not on the list, on purpose: references to other studies and patients (Referenced Study,
Patient and Patient Photo Sequence), which nobody who gets a result can follow; clinical trials; physicians beyond those
of the study; and everything of the images' series and equipment, because series and equipment of results are our own.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum


class Treatment(Enum):
    """What becomes of a value that cannot be copied as it is."""

    IDENTIFIES = "the result is held: another value would be another patient's or another order's"
    NAMES = "it is left out: a part of it may be the name of something else"
    DESCRIBES = "it is repaired, such as shortened, else left out"


@dataclass(frozen=True, slots=True)
class CopyRule:
    """One attribute that is copied."""

    keyword: str
    treatment: Treatment
    values: frozenset[str] = frozenset()
    """Enumerated Values; empty where any value will do."""
    item: CopiedItem | None = None
    """Of a sequence: what is copied of its items."""
    single: bool = False
    """Of a sequence: the Standard allows one item only."""


@dataclass(frozen=True, slots=True)
class CopiedItem:
    """What is copied of an item, and what it must have so that it may stay."""

    attributes: tuple[CopyRule, ...]
    required: tuple[tuple[str, ...], ...] = ()
    """Of each group of keywords, one has to have a value."""
    needs: tuple[tuple[str, str], ...] = ()
    """(keyword, other): where the first has a value, the other must have one."""
    alternatives: tuple[str, ...] = ()
    """Of these keywords only the first that has a value stays."""


def _identifies(*keywords: str) -> tuple[CopyRule, ...]:
    return tuple(CopyRule(keyword, Treatment.IDENTIFIES) for keyword in keywords)


def _names(*keywords: str) -> tuple[CopyRule, ...]:
    return tuple(CopyRule(keyword, Treatment.NAMES) for keyword in keywords)


def _describes(*keywords: str) -> tuple[CopyRule, ...]:
    return tuple(CopyRule(keyword, Treatment.DESCRIBES) for keyword in keywords)


def _one_of(keyword: str, *values: str) -> CopyRule:
    return CopyRule(keyword, Treatment.DESCRIBES, frozenset(values))


def _items(keyword: str, item: CopiedItem, *, single: bool = False) -> CopyRule:
    return CopyRule(keyword, Treatment.NAMES, item=item, single=single)


_ENTITY_TYPE = _one_of("UniversalEntityIDType", "DNS", "EUI64", "ISO", "URI", "UUID", "X400", "X500")
_ID_TYPE = _one_of("TypeOfPatientID", "TEXT", "RFID", "BARCODE")
_YES_NO = ("YES", "NO")

CODE = CopiedItem(
    (
        *_names("CodeValue", "CodingSchemeDesignator", "CodingSchemeVersion", "LongCodeValue", "URNCodeValue"),
        *_describes("CodeMeaning"),
    ),
    required=(("CodeValue", "LongCodeValue", "URNCodeValue"), ("CodeMeaning",)),
    needs=(("CodeValue", "CodingSchemeDesignator"), ("LongCodeValue", "CodingSchemeDesignator")),
    alternatives=("CodeValue", "LongCodeValue", "URNCodeValue"),
)
"""Code Sequence Macro (8.8) without its enhanced encoding mode."""
_ENTITY = CopiedItem(
    (*_names("LocalNamespaceEntityID", "UniversalEntityID"), _ENTITY_TYPE),
    required=(("LocalNamespaceEntityID", "UniversalEntityID"),),
    needs=(("UniversalEntityID", "UniversalEntityIDType"), ("UniversalEntityIDType", "UniversalEntityID")),
)
"""HL7v2 Hierarchic Designator Macro (10.15)."""
_ACCESSION_ISSUER = CopiedItem(
    (*_identifies("LocalNamespaceEntityID", "UniversalEntityID"), _ENTITY_TYPE), _ENTITY.required, _ENTITY.needs
)
"""The same, of the order that the result answers."""
_QUALIFIERS = CopiedItem(
    (
        *_names("UniversalEntityID"),
        _ENTITY_TYPE,
        *_names("IdentifierTypeCode"),
        _items("AssigningFacilitySequence", _ENTITY, single=True),
        _items("AssigningJurisdictionCodeSequence", CODE, single=True),
        _items("AssigningAgencyOrDepartmentCodeSequence", CODE, single=True),
    ),
    needs=(("UniversalEntityID", "UniversalEntityIDType"), ("UniversalEntityIDType", "UniversalEntityID")),
)
"""Issuer of Patient ID Macro (10.14)."""
_OTHER_ID = CopiedItem(
    (
        *_identifies("PatientID", "IssuerOfPatientID"),
        _ID_TYPE,
        _items("IssuerOfPatientIDQualifiersSequence", _QUALIFIERS, single=True),
    ),
    required=(("PatientID",), ("TypeOfPatientID",)),
)
_REGISTRATION = CopiedItem(
    (*_names("BreedRegistrationNumber"), _items("BreedRegistryCodeSequence", CODE, single=True)),
    required=(("BreedRegistrationNumber",), ("BreedRegistryCodeSequence",)),
)

PATIENT = (
    *_identifies("PatientName", "PatientID", "IssuerOfPatientID"),
    _ID_TYPE,
    _items("IssuerOfPatientIDQualifiersSequence", _QUALIFIERS, single=True),
    *_names("PatientBirthDate", "PatientBirthTime"),
    CopyRule("PatientSex", Treatment.NAMES, frozenset(("M", "F", "O"))),
    _items("OtherPatientIDsSequence", _OTHER_ID),
    *_describes("OtherPatientNames", "EthnicGroup", "PatientComments", "PatientSpeciesDescription"),
    _items("PatientSpeciesCodeSequence", CODE, single=True),
    *_describes("PatientBreedDescription"),
    _items("PatientBreedCodeSequence", CODE),
    _items("BreedRegistrationSequence", _REGISTRATION),
    *_describes("ResponsiblePerson", "ResponsiblePersonRole", "ResponsibleOrganization"),
    _one_of("PatientIdentityRemoved", *_YES_NO),
    *_describes("DeidentificationMethod"),
    _items("DeidentificationMethodCodeSequence", CODE),
    _one_of("QualityControlSubject", *_YES_NO),
)
STUDY = (
    *_identifies("StudyInstanceUID", "AccessionNumber"),
    _items("IssuerOfAccessionNumberSequence", _ACCESSION_ISSUER, single=True),
    *_names("StudyDate", "StudyTime", "StudyID"),
    *_describes("ReferringPhysicianName", "StudyDescription", "PhysiciansOfRecord"),
    _items("ProcedureCodeSequence", CODE),
    *_describes("PatientAge", "PatientSize", "PatientWeight"),
    _one_of("PatientSexNeutered", "ALTERED", "UNALTERED"),
    *_names("TimezoneOffsetFromUTC"),
)
REQUEST = CopiedItem(
    (
        *_names("RequestedProcedureID", "AccessionNumber"),
        _items("IssuerOfAccessionNumberSequence", _ENTITY, single=True),
        *_names("StudyInstanceUID"),
        *_describes("RequestedProcedureDescription"),
        _items("RequestedProcedureCodeSequence", CODE, single=True),
        *_names("ScheduledProcedureStepID"),
        *_describes("ScheduledProcedureStepDescription"),
        _items("ScheduledProtocolCodeSequence", CODE),
    ),
    required=(("RequestedProcedureID",),),
)
"""An item without a requested procedure says of no request that it is answered."""
TYPE_2 = (
    "PatientName",
    "PatientID",
    "PatientBirthDate",
    "PatientSex",
    "StudyDate",
    "StudyTime",
    "ReferringPhysicianName",
    "StudyID",
    "AccessionNumber",
)
"""There even when empty."""


def of_patient_and_study() -> Iterator[CopyRule]:
    """What every object has of the images at its root."""
    yield from PATIENT
    yield from STUDY
