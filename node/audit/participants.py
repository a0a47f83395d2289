"""Who takes part in an event, as ActiveParticipants of its message (PS3.15 A.5.2.1)."""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from urllib.parse import urlsplit

from pydicom.sr.codedict import codes
from pydicom.sr.coding import Code

from node.audit.table import AuditRow, Flow
from node.audit.trail import PROGRAM
from node.config.models import Configuration
from node.ledger.audit_subjects import AuditSubject
from node.ledger.event_kinds import AuditCode
from node.ledger.events import NODE, Event

PERSON, PROCESS = "1", "2"
"""UserTypeCode."""
_MACHINE, _ADDRESS = "1", "2"
"""NetworkAccessPointTypeCode: a name, or an IP address."""
_PEOPLE = ("os", "user")
_PEERS = ("destination", "box", "service", "source")
"""Where an event says which peer it is about."""


@dataclass(frozen=True, slots=True)
class Participant:
    """One who takes part."""

    user_id: str
    type: str = PROCESS
    is_requestor: bool = False
    ae_title: str = ""
    access_point: str = ""
    """Its address, or its name in the network."""
    role: Code | None = None

    @property
    def access_point_type(self) -> str:
        """What kind of text the access point is."""
        try:
            ipaddress.ip_address(self.access_point)
        except ValueError:
            return _MACHINE
        return _ADDRESS


class Participants:
    """Finds them by what the configuration says of peers."""

    def __init__(self, configuration: Configuration) -> None:
        self.node = Participant(PROGRAM, ae_title=configuration.node.ae_title, access_point=socket.gethostname())
        self._peers: Mapping[str, Participant] = {
            name: _peer(name, each)
            for section in (configuration.destinations, configuration.boxes, configuration.services)
            for name, each in section.items()
        }

    def of(self, event: Event, code: AuditCode, row: AuditRow, subject: AuditSubject | None) -> list[Participant]:
        """All of them, the one who asked for it first; never none."""
        found = dict.fromkeys(self._all(event, code, row, subject))
        return list(found)

    def _all(self, event: Event, code: AuditCode, row: AuditRow, subject: AuditSubject | None) -> Iterator[Participant]:
        actor = self._actor(event.actor)
        source, destination = codes.DCM.SourceRoleID, codes.DCM.DestinationRoleID
        if code is AuditCode.APPLICATION_ACTIVITY:
            yield replace(self.node, role=codes.DCM.Application)
            return
        if row.flow is Flow.RECEIVED:
            senders = [_sender(title, address) for title, address in subject.senders] if subject else []
            if actor is not None and not any(each.ae_title == actor.ae_title for each in senders):
                senders = [actor]
            yield from (replace(each, role=source, is_requestor=True) for each in senders)
            yield replace(self.node, role=destination)
        elif row.flow is Flow.FETCHED:
            yield replace(self._peer_of(event), role=source)
            yield replace(self.node, role=destination, is_requestor=True)
        elif row.flow is Flow.SENT:
            if actor is not None:
                yield replace(actor, is_requestor=True)
            yield replace(self.node, role=source, is_requestor=actor is None)
            yield replace(self._peer_of(event), role=destination)
        else:
            if actor is not None:
                yield replace(actor, is_requestor=True)
            yield replace(self.node, is_requestor=actor is None)

    def _peer_of(self, event: Event) -> Participant:
        name = next((str(event.detail[key]) for key in _PEERS if event.detail.get(key)), "unknown")
        return self._peers.get(name, Participant(name))

    def _actor(self, text: str) -> Participant | None:
        """None of the node, which takes part anyway."""
        kind, _, name = text.partition(":")
        if text == NODE or not name:
            return None
        if kind in _PEOPLE:
            return Participant(name, PERSON, access_point=self.node.access_point if kind == "os" else "")
        if kind == "ae":
            return _sender(*name.partition("@")[::2])
        return Participant(text)


def _sender(title: str, address: str) -> Participant:
    return Participant(title or "unknown", ae_title=title, access_point=address)


def _peer(name: str, configured: object) -> Participant:
    """By its AE title and host, or its URL, where it has such."""
    title, host = getattr(configured, "ae_title", ""), getattr(configured, "host", "")
    url = getattr(configured, "url", None)
    if url and not host:
        host = urlsplit(str(url)).hostname or ""
    return Participant(title or name, ae_title=title, access_point=str(host))
