"""N-EVENT-REPORTs of ours on an association whose peer goes on storing: no message begins within another."""

from __future__ import annotations

import socket
import socketserver
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from pynetdicom.ae import ApplicationEntity
from pynetdicom.pdu_primitives import P_DATA

from node.dimse.association import (
    AssociationRequest,
    CommitmentRoles,
    ConnectionLimits,
    DataSetSink,
    DueReport,
    StoreRequest,
)
from node.dimse.commitment import CommitmentRequest, CommitmentResult
from node.dimse.engine.served import AcceptedDUL
from node.dimse.engine.server import SharedServer
from node.dimse.status import ActionStatus, StoreStatus
from plugins.phantoms import chest_series
from plugins.phantoms.chest import Chest
from tests.support.dimse.commitment import Requester
from tests.support.wait import until


class DroppingSink:
    """Takes an image and keeps nothing of it."""

    comment = ""

    def __init__(self, stored: threading.Event) -> None:
        self._stored = stored

    def write(self, fragment: memoryview) -> None:
        """Drop it."""

    def finish(self) -> StoreStatus:
        self._stored.set()
        return StoreStatus.SUCCESS

    def abandon(self) -> None:
        """Nothing was kept."""


class SingleReport:
    """What is to be reported, once."""

    def __init__(self, result: CommitmentResult) -> None:
        self.result = result
        self.status: int | None = None

    def answered(self, status: int | None) -> None:
        self.status = status


class CommittingUser:
    """Reports on a request as soon as an image has come after it."""

    commitment = CommitmentRoles(requests=True)

    def __init__(self) -> None:
        self.stored = threading.Event()
        self.report: SingleReport | None = None

    def store(self, request: StoreRequest) -> DataSetSink:
        return DroppingSink(self.stored)

    def answered(self) -> None:
        """An image."""

    def commit(self, request: CommitmentRequest) -> ActionStatus:
        self.report = SingleReport(CommitmentResult(request.transaction_uid, request.references, ()))
        return ActionStatus.SUCCESS

    def committed(self, result: CommitmentResult) -> ActionStatus:
        raise AssertionError("no archive")

    def due_report(self) -> DueReport | None:
        return self.report if self.report is not None and self.report.status is None and self.stored.is_set() else None

    def ended(self, how: str) -> None:
        """However it ended."""


class SingleCaller:
    """Whoever calls is this user."""

    def __init__(self, user: CommittingUser) -> None:
        self._user = user

    def accept(self, request: AssociationRequest) -> CommittingUser:
        return self._user

    def turned(self) -> None:
        """Nothing to do."""

    def handshake_failed(self, peer_address: str, why: str) -> None:
        raise AssertionError("no TLS here")


@contextmanager
def listening(user: CommittingUser) -> Iterator[int]:
    """The node's SCP for this user alone, and its port."""
    bound = socket.create_server(("127.0.0.1", 0))
    entity = ApplicationEntity("PACSNODE")
    server = SharedServer(entity, bound, SingleCaller(user), ConnectionLimits())
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield int(server.server_address[1])
    finally:
        socketserver.BaseServer.shutdown(server)
        thread.join()
        server.server_close()


def test_a_report_while_images_come(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The thread that reports is descheduled behind the command of its report: the next image is answered after it."""
    files = chest_series.write_series(Chest(size=32, slice_mm=46.0), tmp_path)
    user, send_pdu, queued = CommittingUser(), AcceptedDUL.send_pdu, threading.Event()

    def descheduled(dul: AcceptedDUL, primitive: object) -> None:
        send_pdu(dul, primitive)
        if user.due_report() is not None and isinstance(primitive, P_DATA) and not queued.is_set():
            queued.set()
            user.stored.clear()
            user.stored.wait(0.5)  # until an image is answered in the midst of the report, which must not be

    monkeypatch.setattr(AcceptedDUL, "send_pdu", descheduled)
    with listening(user) as port, Requester() as requester, requester.association(port) as association:
        transaction = requester.ask(association, [("1.2.840.10008.5.1.4.1.1.2", "1.2.3")])
        until(lambda: requester.send(association, files) and requester.of(transaction), what="the report")
    (report,) = requester.of(transaction)
    assert queued.is_set()
    assert (report.how, report.committed) == ("same", {"1.2.3"})
