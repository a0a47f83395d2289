"""Audit messages as XML (PS3.15 A.5.1): what an event says, and nothing more.

Of a patient there is the Patient ID with its issuer, where the Standard has it; never the name. Whoever may know the
name finds it by the Patient ID, and a trail that many systems read keeps no second list of names.
"""

from __future__ import annotations

import base64
import re
import struct
from collections.abc import Iterator, Mapping
from xml.etree.ElementTree import Element, SubElement, tostring

from pydicom.sr.codedict import codes
from pydicom.sr.coding import Code
from pydicom.uid import RE_VALID_UID, UID

from node.audit.participants import Participant, Participants
from node.audit.table import CODES, ROWS, AuditRow
from node.audit.trail import PROGRAM
from node.clock import to_text
from node.config.models import Configuration
from node.ledger.audit_subjects import AuditSubject
from node.ledger.event_kinds import AuditCode, EventKind
from node.ledger.events import Event

_STUDY_ROOT_FIND = UID("1.2.840.10008.5.1.4.1.2.2.1")
"""Study Root Query/Retrieve Information Model - FIND: by it archives are asked."""
_RFC_3881 = "RFC-3881"
_PATIENT_NUMBER = Code("2", _RFC_3881, "Patient Number")
_URI = Code("12", _RFC_3881, "URI")
_APPLICATION_SERVER = "4"
"""AuditSourceTypeCode."""
_PERSON, _SYSTEM = "1", "2"
"""ParticipantObjectTypeCode."""
_PATIENT, _REPORT, _SECURITY_RESOURCE = "1", "3", "13"
"""ParticipantObjectTypeCodeRole."""
_ABOUT_INSTANCES = frozenset(
    {
        AuditCode.BEGIN_TRANSFERRING,
        AuditCode.INSTANCES_ACCESSED,
        AuditCode.INSTANCES_TRANSFERRED,
        AuditCode.STUDY_DELETED,
        AuditCode.PATIENT_RECORD,
    }
)
TRAIL = "file:data/audit"
"""What the trail is called in messages about itself."""
_XML_1_0 = dict.fromkeys((*range(9), 11, 12, *range(14, 32), *range(55296, 57344), 65534, 65535), "�")
"""Characters that no XML document may have."""


class Messages:
    """Makes them, by what the configuration says of the node and its peers."""

    def __init__(self, configuration: Configuration) -> None:
        self._participants = Participants(configuration)
        self._source = f"{configuration.node.ae_title}@{self._participants.node.access_point}"

    def of(self, event: Event, subject: AuditSubject | None) -> str | None:
        """The message of an event, without an XML declaration; None of an event that has no audit code."""
        kind = EventKind(event.kind) if event.kind in set(EventKind) else None
        if kind is None or kind.audit is None:
            return None
        code, row = kind.audit, ROWS[kind]
        message = Element("AuditMessage")
        message.append(_identification(event, kind, code, row))
        for each in self._participants.of(event, code, row, subject):
            message.append(_participant(each))
        self._add_source(message)
        message.extend(self._objects(event, kind, code, subject))
        return tostring(message, encoding="unicode").translate(_XML_1_0)

    def bare(self, event: Event) -> str:
        """What can be said of any event with an audit code: what happened and when, and that it was here."""
        kind = EventKind(event.kind)
        assert kind.audit is not None, "others are no messages"
        message = Element("AuditMessage")
        message.append(_identification(event, kind, kind.audit, ROWS[kind]))
        message.append(_participant(self._participants.node))
        self._add_source(message)
        return tostring(message, encoding="unicode").translate(_XML_1_0)

    def _add_source(self, message: Element) -> None:
        source = SubElement(message, "AuditSourceIdentification", AuditSourceID=self._source)
        SubElement(source, "AuditSourceTypeCode", {"csd-code": _APPLICATION_SERVER})

    def _objects(
        self, event: Event, kind: EventKind, code: AuditCode, subject: AuditSubject | None
    ) -> Iterator[Element]:
        if code is AuditCode.AUDIT_LOG_USED:
            yield _object(TRAIL, _SYSTEM, _SECURITY_RESOURCE, _URI, name="Security Audit Log", details=_details(event))
        elif code is AuditCode.SECURITY_ALERT:
            node, details = self._participants.node, _details(event) | {"Alert Description": kind.sentence}
            yield _object(node.ae_title, _SYSTEM, _SECURITY_RESOURCE, codes.DCM.NodeID, details=details)
        elif code is AuditCode.QUERY:
            yield _query(event, kind, subject)
        if subject is None:
            return
        if code in _ABOUT_INSTANCES or code is AuditCode.SECURITY_ALERT:
            yield _study(event, code, subject)
        if (code in _ABOUT_INSTANCES or code is AuditCode.QUERY) and subject.patient_id:
            yield _patient(subject)


def _identification(event: Event, kind: EventKind, code: AuditCode, row: AuditRow) -> Element:
    found = Element(
        "EventIdentification",
        EventActionCode=row.action,
        EventDateTime=to_text(event.at),
        EventOutcomeIndicator=row.outcome,
    )
    _coded(found, "EventID", CODES[code])
    if row.type is not None:
        _coded(found, "EventTypeCode", row.type)
    SubElement(found, "EventOutcomeDescription").text = f"{kind}: {kind.sentence}"
    return found


def _participant(each: Participant) -> Element:
    found = Element("ActiveParticipant", UserID=each.user_id)
    if each.ae_title:
        found.set("AlternativeUserID", f"AETITLES={each.ae_title}")
    found.set("UserIsRequestor", "true" if each.is_requestor else "false")
    found.set("UserTypeCode", each.type)
    if each.access_point:
        found.set("NetworkAccessPointID", each.access_point)
        found.set("NetworkAccessPointTypeCode", each.access_point_type)
    if each.role is not None:
        _coded(found, "RoleIDCode", each.role)
    return found


def _study(event: Event, code: AuditCode, subject: AuditSubject) -> Element:
    details = _details(event) if code is not AuditCode.SECURITY_ALERT else {}
    found = _object(subject.study_instance_uid, _SYSTEM, _REPORT, codes.DCM.StudyInstanceUID, details=details)
    description = found[-1]
    if subject.accession_number:
        description.insert(0, Element("Accession", Number=subject.accession_number))
    for number, (uid, instances) in enumerate(subject.instances.items(), start=1):
        if _is_uid(uid):
            description.insert(number, Element("SOPClass", UID=uid, NumberOfInstances=str(instances)))
    if _is_uid(subject.study_instance_uid):
        SubElement(description[-1], "StudyIDs", UID=subject.study_instance_uid)
    return found


def _patient(subject: AuditSubject) -> Element:
    details = {"Issuer of Patient ID": subject.issuer_of_patient_id} if subject.issuer_of_patient_id else {}
    found = _object(subject.patient_id, _PERSON, _PATIENT, _PATIENT_NUMBER, details=details)
    if _is_uid(subject.study_instance_uid):
        SubElement(found[-1][-1], "StudyIDs", UID=subject.study_instance_uid)
    return found


def _query(event: Event, kind: EventKind, subject: AuditSubject | None) -> Element:
    """The keys by which an archive was asked: for a study by its UID, for earlier ones by the patient."""
    keys = {(0x0008, 0x0052, b"CS"): "STUDY"}
    if kind in (EventKind.FETCH_REQUESTED, EventKind.FETCH_NONE):
        keys[0x0010, 0x0020, b"LO"] = subject.patient_id if subject else ""
    elif event.study_instance_uid:
        keys[0x0020, 0x000D, b"UI"] = event.study_instance_uid
    details = {"TransferSyntax": "1.2.840.10008.1.2.1"} | _details(event)
    return _object(_STUDY_ROOT_FIND, _SYSTEM, _REPORT, codes.DCM.SOPClassUID, query=_encoded(keys), details=details)


def _encoded(keys: Mapping[tuple[int, int, bytes], str]) -> bytes:
    """Explicit VR Little Endian."""
    found = b""
    for (group, element, vr), text in keys.items():
        value = text.encode()
        value += (b"\0" if vr == b"UI" else b" ") * (len(value) % 2)
        found += struct.pack("<HH2sH", group, element, vr, len(value)) + value
    return found


def _object(
    identifier: str,
    type_: str,
    role: str,
    code: Code,
    *,
    name: str = "",
    query: bytes = b"",
    details: Mapping[str, str],
) -> Element:
    """A ParticipantObjectIdentification; its last element is the description, whose last one is for studies."""
    found = Element(
        "ParticipantObjectIdentification",
        ParticipantObjectID=identifier,
        ParticipantObjectTypeCode=type_,
        ParticipantObjectTypeCodeRole=role,
    )
    _coded(found, "ParticipantObjectIDTypeCode", code)
    if name:
        SubElement(found, "ParticipantObjectName").text = name
    elif query:
        SubElement(found, "ParticipantObjectQuery").text = base64.b64encode(query).decode()
    for key, value in details.items():
        encoded = base64.b64encode(value.encode()).decode()
        SubElement(found, "ParticipantObjectDetail", type=key, value=encoded)
    SubElement(SubElement(found, "ParticipantObjectDescription"), "ParticipantObjectContainsStudy")
    return found


_LONG_TEXTS = frozenset({"diff", "rules"})
"""The ledger has them."""
_LONGEST = 1000
_LONGEST_UID = 64
_NOTHING: tuple[object, ...] = (None, "", [], {})


def _details(event: Event) -> dict[str, str]:
    """What the event says of itself: which rule, which destination, how many."""
    found = {"event": f"{PROGRAM}:{event.id}"}
    for key, value in event.detail.items():
        if value not in _NOTHING and key not in _LONG_TEXTS:
            found[key] = str(value)[:_LONGEST]
    return found


def _coded(within: Element, tag: str, code: Code) -> None:
    given = {"csd-code": code.value, "codeSystemName": code.scheme_designator, "originalText": code.meaning}
    SubElement(within, tag, given)


def _is_uid(text: str) -> bool:
    return len(text) <= _LONGEST_UID and re.fullmatch(RE_VALID_UID, text) is not None
