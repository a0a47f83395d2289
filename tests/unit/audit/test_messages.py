"""Each message of the audit trail, against the Standard's schema and by what it says of whom (PS3.15 A.5)."""

from __future__ import annotations

import base64
import re
from typing import Any
from xml.etree.ElementTree import Element, fromstring

import pytest
from lxml import etree

from node.audit.messages import Messages
from node.audit.table import CODES, ROWS
from node.ledger import audit_subjects, deliveries, jobs, studies
from node.ledger.event_kinds import AuditCode, EventKind
from node.ledger.events import Event
from tests.support.shared_data import ROOT
from tests.support.sites.audit_site import FAILED, GOOD, AuditSite
from tests.support.sites.past import NOW

AUDITED = [kind for kind in EventKind if kind.audit]
DETAIL: dict[str, Any] = {
    "destination": "pacs",
    "plugin": "a & b <c>",
    "reason": 'said "no"\x01\x0b',
    "instances": 3,
    "diff": "long",
    "nothing": None,
}


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> AuditSite:
    """A site with a past: its studies have patients, jobs and deliveries."""
    made = AuditSite(tmp_path_factory.mktemp("site"))
    made.tell_past()
    made.project()
    return made


def text_of(site: AuditSite, kind: EventKind, **fields: Any) -> str:
    """The message of an event of this kind."""
    study, job, delivery = fields.pop("study", None), fields.pop("job", None), fields.pop("delivery", None)
    actor = fields.pop("actor", "node")
    event = Event(7, NOW, kind, kind.severity, study, job, delivery, fields, actor)
    found = Messages(site.configuration).of(event, audit_subjects.of_event(site.ledger.database, event))
    assert found is not None
    return found


def said(site: AuditSite, kind: EventKind, **fields: Any) -> Element:
    return fromstring(text_of(site, kind, **fields))


def details(found: Element) -> dict[str, str]:
    return {
        each.get("type", ""): base64.b64decode(each.get("value", "")).decode()
        for each in found.iter("ParticipantObjectDetail")
    }


def participants(found: Element) -> list[tuple[str | None, str | None, str | None, str]]:
    """Each one's user id, address, what it requests, and role."""
    return [
        (
            each.get("UserID"),
            each.get("NetworkAccessPointID"),
            each.get("UserIsRequestor"),
            "".join(role.get("originalText", "") for role in each.iter("RoleIDCode")),
        )
        for each in found.iter("ActiveParticipant")
    ]


def test_the_table_has_the_kinds_with_an_audit_code_and_no_others() -> None:
    """Whoever adds a kind with a code says here who takes part."""
    assert set(ROWS) == set(AUDITED)


@pytest.mark.parametrize("kind", AUDITED)
def test_each_event_with_a_code_is_a_message_of_the_standard(
    site: AuditSite, schema: etree.RelaxNG, kind: EventKind
) -> None:
    """Of a study and of none, of the node and of others; whatever characters the event has."""
    (job,) = jobs.of_study(site.ledger.database, GOOD)
    (delivery, *_) = deliveries.of_study(site.ledger.database, GOOD)
    for fields in (
        {},
        {"study": GOOD, **DETAIL},
        {"study": GOOD, "job": job.id, "actor": "os:hong", **DETAIL},
        {"study": FAILED, "delivery": delivery.id, "actor": "ae:CT1@10.0.0.5", **DETAIL},
        {"study": "not a UID", "job": "gone", "delivery": 4711, "actor": "plugin:lung", "box": "nobody"},
    ):
        schema.assertValid(etree.fromstring(text_of(site, kind, **fields)))


def test_what_happened_in_a_morning_is_a_message_each(site: AuditSite) -> None:
    """In the order of the events, and only those with a code."""
    history = site.ledger.database.execute("SELECT id, kind FROM events ORDER BY id").fetchall()
    wanted = [number for number, kind in history if EventKind(kind).audit]
    assert [each["event"] for each in site.messages()] == wanted


def test_a_delivered_object_names_node_destination_study_and_patient(site: AuditSite) -> None:
    """DICOM Instances Transferred: source and destination with their AE titles; one instance of its SOP class."""
    (first, *_) = deliveries.of_study(site.ledger.database, GOOD)
    found = said(site, EventKind.DELIVERY_DELIVERED, study=GOOD, delivery=first.id, destination="pacs")
    event = found.find("EventIdentification")
    assert event.find("EventID").attrib == {
        "csd-code": "110104",
        "codeSystemName": "DCM",
        "originalText": "DICOM Instances Transferred",
    }
    assert (event.get("EventActionCode"), event.get("EventOutcomeIndicator")) == ("C", "0")
    (node, pacs) = participants(found)
    assert (node[0], node[2:]) == ("pacsnode", ("true", "Source Role ID"))
    assert pacs == ("PACS", "10.0.0.9", "false", "Destination Role ID")
    study, patient = found.iter("ParticipantObjectIdentification")
    row = studies.get(site.ledger.database, GOOD)
    assert study.get("ParticipantObjectID") == GOOD
    assert study.find("ParticipantObjectDescription/Accession").get("Number") == row.accession_number
    sop = study.find("ParticipantObjectDescription/SOPClass")
    assert (sop.get("UID"), sop.get("NumberOfInstances")) == (first.sop_class_uid, "1")
    assert patient.get("ParticipantObjectID") == row.patient_id
    assert patient.find("ParticipantObjectName") is None


def test_a_received_study_names_who_sent_it_and_how_many_of_what(site: AuditSite) -> None:
    """The scanner is the source; the study's instances by SOP class."""
    found = said(site, EventKind.STUDY_COMPLETE, study=GOOD)
    *senders, node = participants(found)
    assert [each[3] for each in senders] == ["Source Role ID"] * len(senders)
    assert senders
    assert (node[0], node[3]) == ("pacsnode", "Destination Role ID")
    number = site.ledger.database.execute(
        "SELECT count(*) FROM instances WHERE study_instance_uid=? AND status='current'", [GOOD]
    ).fetchone()[0]
    assert [each.get("NumberOfInstances") for each in found.iter("SOPClass")] == [str(number)]


def test_a_person_is_the_requestor_and_the_node_is_not(site: AuditSite) -> None:
    """Who looked at a study."""
    found = said(site, EventKind.STUDY_VIEWED, study=GOOD, actor="os:hong")
    person, node = participants(found)
    assert (person[0], person[2], node[0], node[2]) == ("hong", "true", "pacsnode", "false")
    assert found.find("EventIdentification/EventID").get("csd-code") == AuditCode.INSTANCES_ACCESSED


def test_a_query_has_its_keys_as_a_data_set(site: AuditSite) -> None:
    """SOP class of the question, and the keys in Explicit VR Little Endian (PS3.15 A.5.3.12)."""
    found = said(site, EventKind.IDENTITY_AGREES, study=GOOD, destination="pacs")
    asked = next(found.iter("ParticipantObjectIdentification"))
    assert asked.get("ParticipantObjectID") == "1.2.840.10008.5.1.4.1.2.2.1"
    keys = base64.b64decode(asked.findtext("ParticipantObjectQuery") or "")
    assert keys.startswith(b"\x08\x00\x52\x00CS\x06\x00STUDY \x20\x00\x0d\x00UI")
    assert keys.rstrip(b"\0").endswith(GOOD.encode())
    assert details(found)["TransferSyntax"] == "1.2.840.10008.1.2.1"


def test_an_alert_says_what_it_is_about(site: AuditSite) -> None:
    """A changed configuration, a caller that was refused."""
    found = said(site, EventKind.PLUGIN_PAUSED, actor="os:hong", plugin="lung", why="wrong side")
    assert found.find("EventIdentification/EventTypeCode").get("originalText") == "Software Configuration"
    assert details(found)["Alert Description"] == EventKind.PLUGIN_PAUSED.sentence
    assert details(found)["why"] == "wrong side"
    found = said(site, EventKind.CALLERS_REFUSED, calling_ae_title="X")
    assert found.find("EventIdentification").get("EventOutcomeIndicator") == "4"


def test_the_documentation_has_the_table() -> None:
    """docs/audit.md: an auditor reads there which event is which message."""
    text = (ROOT / "docs/audit.md").read_text(encoding="utf-8")
    listed = re.findall(r"^\| `([a-z.-]+)` \| (.*) \|$", text, flags=re.MULTILINE)
    assert listed == [
        (
            str(kind),
            " | ".join(
                [CODES[kind.audit].meaning, row.type.meaning if row.type else "", row.action, row.flow, row.outcome]
            ),
        )
        for kind, row in ROWS.items()
        if kind.audit
    ]
