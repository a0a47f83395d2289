"""A modality that asks for storage commitment: pynetdicom as SCU, on whose associations reports come as they will."""

from __future__ import annotations

import ssl
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from pydicom import Dataset, dcmread
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, ImplicitVRLittleEndian, generate_uid
from pynetdicom import AE, build_role, evt
from pynetdicom.association import Association
from pynetdicom.sop_class import StorageCommitmentPushModel  # type: ignore[attr-defined]

INSTANCE = "1.2.840.10008.1.20.1.1"
Pair = tuple[str, str]


@dataclass(frozen=True)
class Report:
    """One N-EVENT-REPORT as it came."""

    transaction: str
    event_type: int
    committed: frozenset[str]
    failed: dict[str, int]
    how: str
    """`same`: on the association of the request; `new`: on one that the node opened."""
    calling: str


def information(references: Sequence[Pair], transaction: str) -> Dataset:
    """The action information of an N-ACTION."""
    asked = Dataset()
    asked.TransactionUID = transaction
    asked.ReferencedSOPSequence = []
    for sop_class, uid in references:
        item = Dataset()
        item.ReferencedSOPClassUID, item.ReferencedSOPInstanceUID = sop_class, uid
        asked.ReferencedSOPSequence.append(item)
    return asked


@dataclass
class Requester:
    """Listens for reports on a port of its own while its context is open."""

    ae_title: str = "CT1"
    answers: list[int] = field(default_factory=list)
    """Statuses of its next answers to reports; 0000 when they are used up."""
    reports: list[Report] = field(default_factory=list)
    port: int = 0
    tls: ssl.SSLContext | None = None
    """It takes reports over TLS alone, with this as its server."""

    def __post_init__(self) -> None:
        self._lock = threading.Lock()
        self._server: Any = None

    def __enter__(self) -> Self:
        self.listen()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.hang_up()

    def listen(self) -> None:
        """Take reports on associations that the node opens, in the role that it proposes."""
        entity = AE(self.ae_title)
        entity.require_called_aet = True
        syntaxes = [ExplicitVRLittleEndian, ImplicitVRLittleEndian]
        entity.add_supported_context(StorageCommitmentPushModel, syntaxes, scu_role=False, scp_role=True)
        handlers = [(evt.EVT_N_EVENT_REPORT, self._handle, ["new"])]
        self._server = entity.start_server(
            ("127.0.0.1", self.port),
            block=False,
            evt_handlers=handlers,  # type: ignore[arg-type]
            ssl_context=self.tls,
        )
        self.port = int(self._server.server_address[1])

    def change_to(self, tls: ssl.SSLContext) -> None:
        """From the next connection on this is its server."""
        self.tls = self._server.ssl_context = tls

    def hang_up(self) -> None:
        """Nobody listens any more; the port stays its own."""
        if self._server is not None:
            self._server.shutdown()
            self._server = None

    def settings(self, **more: object) -> dict[str, object]:
        """Its entry under `modalities`."""
        retry = {"first": "300ms", "factor": 1, "longest": "300ms"}
        asks = {"host": "127.0.0.1", "port": self.port, "timeout": "10s", "retry": retry, **more}
        return {"ae_title": self.ae_title, "storage_commitment": asks}

    @contextmanager
    def association(self, port: int, *, takes_reports: bool = True) -> Iterator[Association]:
        """An association with the node for images and storage commitment.

        It takes reports on it as well, or refuses them and waits for the one that is made elsewhere.
        """
        entity = AE(self.ae_title)
        entity.add_requested_context(CTImageStorage, ExplicitVRLittleEndian)
        entity.add_requested_context(StorageCommitmentPushModel, ExplicitVRLittleEndian)
        handle: Any = (evt.EVT_N_EVENT_REPORT, self._handle, ["same"])
        handlers = [handle if takes_reports else (evt.EVT_N_EVENT_REPORT, lambda _: (0x0110, None))]
        opened = entity.associate("127.0.0.1", port, ae_title="PACSNODE", evt_handlers=handlers)
        assert opened.is_established
        association = ReportedAssociation.of(opened)
        try:
            yield association
        finally:
            if association.is_established:
                association.release()

    def send(self, association: Association, files: Sequence[Path]) -> list[Pair]:
        """Store these; what commitment is then asked for."""
        for path in files:
            assert association.send_c_store(dcmread(path)).Status == 0x0000
        headers = [dcmread(path, stop_before_pixels=True) for path in files]
        return [(str(each.SOPClassUID), str(each.SOPInstanceUID)) for each in headers]

    def ask(self, association: Association, references: Sequence[Pair], transaction: str = "") -> str:
        """N-ACTION; the Transaction UID of what the node has taken."""
        transaction = transaction or generate_uid()
        assert self.asked(association, information(references, transaction)) == 0x0000
        return transaction

    def asked(self, association: Association, asked: Dataset, action: int = 1, instance: str = INSTANCE) -> int | None:
        """N-ACTION; the status of the answer, None without one."""
        status, _ = association.send_n_action(asked, action, StorageCommitmentPushModel, instance)
        return int(status.Status) if "Status" in status else None

    def of(self, transaction: str) -> list[Report]:
        """The reports on one request so far."""
        with self._lock:
            return [each for each in self.reports if each.transaction == transaction]

    def _handle(self, event: evt.Event, how: str) -> tuple[int, None]:
        said = event.event_information
        with self._lock:
            status = self.answers.pop(0) if self.answers else 0x0000
            self.reports.append(
                Report(
                    str(said.TransactionUID),
                    int(event.event_type),  # type: ignore[arg-type]
                    frozenset(str(each.ReferencedSOPInstanceUID) for each in said.get("ReferencedSOPSequence", [])),
                    {str(e.ReferencedSOPInstanceUID): int(e.FailureReason) for e in said.get("FailedSOPSequence", [])},
                    how,
                    str(event.assoc.requestor.ae_title).strip(),
                )
            )
        return status, None


class ReportedAssociation(Association):
    """An association of ours on which reports come between our own requests.

    pynetdicom answers each N-EVENT-REPORT in a new thread. That thread queues its PDU between the command and the data
    set of the C-STORE or N-ACTION that another thread is sending: no peer can read that. And it overwrites the flag by
    which a request knows that the reactor is paused: then the reactor takes the response, or a request waits for ever.
    """

    _serving: threading.Lock

    @staticmethod
    def of(association: Association) -> ReportedAssociation:
        """The same one, whose threads take turns from now on."""
        association.__class__ = ReportedAssociation
        assert isinstance(association, ReportedAssociation)
        association._serving = threading.Lock()
        dimse: Any = association.dimse
        sending, send, get = threading.Lock(), dimse.send_msg, dimse.get_msg

        def send_whole(primitive: Any, context_id: int) -> None:
            with sending:
                send(primitive, context_id)

        def get_awaited(block: bool = False) -> Any:
            return get(block) if block else (None, None)

        dimse.send_msg, dimse.get_msg = send_whole, get_awaited
        return association

    def _serve_request(self, msg: Any, context_id: int) -> None:
        with self._serving:
            super()._serve_request(msg, context_id)

    def release(self) -> None:
        """Not before a report is answered that has come."""
        with self._serving:
            super().release()

    @property
    def _is_paused(self) -> bool:
        """The reactor has no messages to take, so no request need wait until it is paused."""
        return True

    @_is_paused.setter
    def _is_paused(self, paused: bool) -> None:
        """See above."""


def scp_role() -> Any:
    """The role selection of an archive that opens an association to report."""
    return build_role(StorageCommitmentPushModel, scu_role=False, scp_role=True)
