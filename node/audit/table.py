"""Which event of ours is which message of the Standard (PS3.15 A.5.3); docs/audit.md shows it.

An event is here exactly where its kind has an audit code (`node.ledger.event_kinds`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from pydicom.sr.codedict import codes
from pydicom.sr.coding import Code

from node.ledger.event_kinds import AuditCode, EventKind
from node.reading.codes import SCHEME


class Flow(StrEnum):
    """Who takes part, besides the actor of the event."""

    RECEIVED = "received"
    """Those who sent the study are the source, the node is the destination."""
    FETCHED = "fetched"
    """An archive is the source, the node is the destination."""
    SENT = "sent"
    """The node is the source, the peer is the destination."""
    ACTED = "acted"
    """The actor, and the node that it acted on."""


class Outcome(StrEnum):
    """EventOutcomeIndicator."""

    SUCCESS = "0"
    MINOR_FAILURE = "4"
    SERIOUS_FAILURE = "8"


@dataclass(frozen=True, slots=True)
class AuditRow:
    """What an event of one kind becomes."""

    action: str
    """EventActionCode: Create, Read, Update, Delete or Execute."""
    flow: Flow
    type: Code | None = None
    """EventTypeCode."""
    outcome: Outcome = Outcome.SUCCESS


CODES: Mapping[AuditCode, Code] = {
    AuditCode.APPLICATION_ACTIVITY: codes.DCM.ApplicationActivity,
    AuditCode.AUDIT_LOG_USED: codes.DCM.AuditLogUsed,
    AuditCode.BEGIN_TRANSFERRING: codes.DCM.BeginTransferringDICOMInstances,
    AuditCode.INSTANCES_ACCESSED: codes.DCM.DICOMInstancesAccessed,
    AuditCode.INSTANCES_TRANSFERRED: codes.DCM.DICOMInstancesTransferred,
    AuditCode.STUDY_DELETED: codes.DCM.DICOMStudyDeleted,
    AuditCode.PATIENT_RECORD: codes.DCM.PatientRecord,
    AuditCode.QUERY: codes.DCM.Query,
    AuditCode.SECURITY_ALERT: codes.DCM.SecurityAlert,
    AuditCode.USER_AUTHENTICATION: codes.DCM.UserAuthentication,
}
"""EventID."""
_INTEGRITY = Code("audit-integrity", SCHEME, "Integrity of Stored Data")
"""No type of alert in PS3.16 CID 403 is for data that is not what was stored; the group is extensible."""
_CONFIGURED = AuditRow("E", Flow.ACTED, codes.DCM.SoftwareConfiguration)
_USERS = AuditRow("E", Flow.ACTED, codes.DCM.UserSecurityAttributesChanged)
_RESTRICTED = AuditRow("E", Flow.ACTED, codes.DCM.UseOfRestrictedFunction)
_DAMAGED = AuditRow("E", Flow.ACTED, _INTEGRITY, Outcome.SERIOUS_FAILURE)
_RECORD = AuditRow("U", Flow.ACTED)
_QUERY = AuditRow("E", Flow.SENT)
_RECEIVING, _SENDING = AuditRow("E", Flow.RECEIVED), AuditRow("E", Flow.SENT)
_SENT = AuditRow("C", Flow.SENT)

ROWS: Mapping[EventKind, AuditRow] = {
    EventKind.NODE_STARTED: AuditRow("E", Flow.ACTED, codes.DCM.ApplicationStart),
    EventKind.NODE_STOPPED: AuditRow("E", Flow.ACTED, codes.DCM.ApplicationStop),
    EventKind.AUDIT_USED: AuditRow("R", Flow.ACTED),
    EventKind.AUDIT_CHECKPOINT: AuditRow("R", Flow.ACTED),
    EventKind.AUDIT_BROKEN: _DAMAGED,
    EventKind.STUDY_FIRST_RECEIVED: _RECEIVING,
    EventKind.STUDY_GROWS: _RECEIVING,
    EventKind.STUDY_COMPLETE: AuditRow("C", Flow.RECEIVED),
    EventKind.STUDY_UPLOADED: AuditRow("C", Flow.ACTED),
    EventKind.STUDY_VIEWED: AuditRow("R", Flow.ACTED),
    EventKind.STUDY_GONE: AuditRow("D", Flow.ACTED),
    EventKind.STUDY_CORRECTED: _RECORD,
    EventKind.STUDY_WITHDRAWAL_DONE: _RECORD,
    EventKind.FETCH_REQUESTED: _QUERY,
    EventKind.FETCH_NONE: _QUERY,
    EventKind.FETCH_SENT: AuditRow("E", Flow.FETCHED),
    EventKind.FETCH_FETCHED: AuditRow("C", Flow.FETCHED),
    EventKind.JOB_STARTED: AuditRow("R", Flow.ACTED),
    EventKind.BOX_SENT: _SENT,
    EventKind.SERVICE_SENT: _SENT,
    EventKind.JOB_WITHDRAWN: _RECORD,
    EventKind.DELIVERY_SENDING: _SENDING,
    EventKind.DELIVERY_DELIVERED: _SENT,
    EventKind.DELIVERY_DELIVERED_THOUGH_HELD: _SENT,
    EventKind.FORWARD_DONE: _SENT,
    EventKind.IDENTITY_ABSENT: _QUERY,
    EventKind.IDENTITY_AGREES: _QUERY,
    EventKind.IDENTITY_DIFFERS: _QUERY,
    EventKind.IDENTITY_ADOPTED: _RECORD,
    EventKind.REJECTION_NOTE_MADE: _RECORD,
    EventKind.INSTANCE_DAMAGED: _DAMAGED,
    EventKind.REJECTION_IGNORED: AuditRow("E", Flow.ACTED, codes.DCM.UseOfRestrictedFunction, Outcome.MINOR_FAILURE),
    EventKind.CALLERS_REFUSED: AuditRow("E", Flow.ACTED, codes.DCM.NodeAuthentication, Outcome.MINOR_FAILURE),
    EventKind.RULES_IN_FORCE: _CONFIGURED,
    EventKind.CONFIGURATION_IN_FORCE: _CONFIGURED,
    EventKind.CONFIGURATION_WRITTEN: _CONFIGURED,
    EventKind.PLUGIN_PAUSED: _CONFIGURED,
    EventKind.PLUGIN_RESUMED: _CONFIGURED,
    EventKind.PLUGIN_WITHDRAWN: _CONFIGURED,
    EventKind.PLUGIN_REINSTATED: _CONFIGURED,
    EventKind.SUSPENSION_PAUSED: _CONFIGURED,
    EventKind.SUSPENSION_RESUMED: _CONFIGURED,
    EventKind.RULE_PAUSED: _CONFIGURED,
    EventKind.RULE_RESUMED: _CONFIGURED,
    EventKind.DESTINATION_PAUSED: _CONFIGURED,
    EventKind.DESTINATION_RESUMED: _CONFIGURED,
    EventKind.USER_LOGGED_IN: AuditRow("E", Flow.ACTED, codes.DCM.Login),
    EventKind.USER_LOGGED_OUT: AuditRow("E", Flow.ACTED, codes.DCM.Logout),
    EventKind.USER_REFUSED: AuditRow("E", Flow.ACTED, codes.DCM.Login, Outcome.MINOR_FAILURE),
    EventKind.USER_ADDED: _USERS,
    EventKind.USER_CHANGED: _USERS,
    EventKind.USER_PASSWORD: _USERS,
    EventKind.USER_REMOVED: _USERS,
    EventKind.BACKUP_MADE: _RESTRICTED,
    EventKind.LEDGER_RESTORED: _RESTRICTED,
}
