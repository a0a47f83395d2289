"""What the protocol engine and its user say to each other: the SCP side, free of pynetdicom.

The engine (`node.dimse.engine`) owns the connection; the user decides who may associate and takes data
sets. A faster way for the P-DATA of a C-STORE changes the engine only.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

from node.dimse.commitment import CommitmentRequest, CommitmentResult
from node.dimse.status import ActionStatus, StoreStatus


@dataclass(frozen=True, slots=True)
class ConnectionLimits:
    """Deadlines in seconds, and how many connections may wait without having asked for an association."""

    association_request: float = 15.0
    """From the connection (and its TLS handshake) to a whole A-ASSOCIATE-RQ: the ARTIM timer (PS3.8 9.1.5)."""
    pdu: float = 30.0
    """From the first byte of a PDU to its last; also the longest wait for the peer to read an answer."""
    message: float = 300.0
    """From the first fragment of a message to its last, beside the time that its bytes take at 4 KiB a second."""
    idle: float = 300.0
    """Silence on an association until it is released. One that goes on making requests may last as long as it likes:
    modalities and archives keep associations open for days."""
    drain: float = 20.0
    """After SIGTERM, until associations that are still open are aborted."""
    gives_way: float = 10.0
    """Silence after which an association is released where its place is needed."""
    retire: float = 3600.0
    """After a reload, until associations that earlier receivers still serve are treated so."""
    waiting_connections: int = 64


@dataclass(frozen=True, slots=True)
class AssociationRequest:
    """What a peer says of itself when it asks for an association."""

    called_ae_title: str
    calling_ae_title: str
    peer_address: str
    tls_subject: str
    maximum_length: int
    """Bytes of a P-DATA-TF PDU the peer takes; 0: any number (PS3.8 D.1)."""
    tls_fingerprint: str = ""
    """SHA-256 of its verified certificate, in hexadecimal; empty without one, as `tls_subject` is."""
    give_way: Callable[[str, str], bool] = field(default=lambda _calling, _address: False, compare=False)
    """Have the association released that has been silent for longest of those that a calling AE title opened from an
    address; false where there is none that may give way (`ConnectionLimits.gives_way`)."""


@dataclass(frozen=True, slots=True)
class AssociationRejection:
    """An A-ASSOCIATE-RJ: result, source, reason (PS3.8 Table 9-21), and why in words for the log."""

    code: tuple[int, int, int]
    reason: str


@dataclass(frozen=True, slots=True)
class StoreRequest:
    """One C-STORE request, before its data set."""

    sop_class_uid: str
    sop_instance_uid: str
    transfer_syntax_uid: str
    lossy_accepted: bool


class DataSetSink(Protocol):
    """Takes the data set of one C-STORE request. No method may raise."""

    comment: str

    def write(self, fragment: memoryview) -> None:
        """The next bytes; the view is valid during the call only."""
        ...

    def finish(self) -> StoreStatus:
        """The data set is whole; the status to answer."""
        ...

    def abandon(self) -> None:
        """The rest never comes."""
        ...


@dataclass(frozen=True, slots=True)
class CommitmentRoles:
    """What of storage commitment a peer may do on an association: the roles negotiated for it (PS3.7 D.3.3.4)."""

    requests: bool = False
    """Be its SCU: ask for commitment."""
    reports: bool = False
    """Be its SCP: report on what we asked it for."""


class DueReport(Protocol):
    """An N-EVENT-REPORT to be sent on an association. No method may raise."""

    result: CommitmentResult

    def answered(self, status: int | None) -> None:
        """The peer's answer; None where none came in time."""
        ...


class AssociationUser(Protocol):
    """One accepted association, as its user sees it. No method may raise."""

    commitment: CommitmentRoles

    def store(self, request: StoreRequest) -> DataSetSink:
        """A C-STORE request has begun."""
        ...

    def answered(self) -> None:
        """A C-STORE response has gone out: while the peer makes its next request, that can be prepared for."""
        ...

    def commit(self, request: CommitmentRequest) -> ActionStatus:
        """An N-ACTION asks for storage commitment; the status to answer."""
        ...

    def committed(self, result: CommitmentResult) -> ActionStatus:
        """An N-EVENT-REPORT tells what came of a request of ours; the status to answer."""
        ...

    def due_report(self) -> DueReport | None:
        """Between two messages, a few times a second: what is to be reported on this association now."""
        ...

    def ended(self, how: str) -> None:
        """The association is over: `released`, `aborted` …"""
        ...


Accept = Callable[[AssociationRequest], AssociationUser | AssociationRejection]


class CallerCheck(Protocol):
    """Who may call. No method may raise."""

    def accept(self, request: AssociationRequest) -> AssociationUser | AssociationRejection:
        """The answer to a request for an association."""
        ...

    def turned(self) -> None:
        """The loop that accepts connections goes round; called about twice a second, and after each connection."""
        ...

    def handshake_failed(self, peer_address: str, why: str) -> None:
        """A peer did not get as far as a request, for a reason that stays until somebody changes something."""
        ...
