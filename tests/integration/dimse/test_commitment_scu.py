"""Asking an archive, and reporting to a requester, on associations that we open: peers by pynetdicom."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from pydicom import Dataset
from pynetdicom import AE, evt
from pynetdicom.sop_class import StorageCommitmentPushModel  # type: ignore[attr-defined]

from node.dimse.commitment import CommitmentReference, CommitmentRequest, CommitmentResult
from node.dimse.commitment_scu import ask, report
from node.dimse.scu import ContextRefusedError, Peer
from node.dimse.status import ActionStatus
from tests.support.dimse.commitment import INSTANCE, Requester

IMAGE = CommitmentReference("1.2.840.10008.5.1.4.1.1.2", "1.2.3")
REQUEST = CommitmentRequest("1.2.3.9", (IMAGE,))


@contextmanager
def peer(on_action: Callable[[evt.Event], tuple[int, None]] | None = None) -> Iterator[Peer]:
    """An archive that answers N-ACTIONs so, or an AE that knows nothing of storage commitment."""
    entity = AE("ARCHIVE")
    entity.add_supported_context("1.2.840.10008.1.1")
    if on_action is not None:
        entity.add_supported_context(StorageCommitmentPushModel)
    handlers: list[Any] = [(evt.EVT_N_ACTION, on_action)] if on_action else []
    server = entity.start_server(("127.0.0.1", 0), block=False, evt_handlers=handlers)
    try:
        yield Peer("127.0.0.1", int(server.server_address[1]), "ARCHIVE", "PACSNODE", timeout=30.0)
    finally:
        server.shutdown()


def test_an_archive_that_reports_before_it_answers() -> None:
    """The N-EVENT-REPORT comes on the same association, in the midst of the N-ACTION: taken, and so is the answer."""

    def answer(event: evt.Event) -> tuple[int, None]:
        said = Dataset()
        said.TransactionUID = event.action_information.TransactionUID
        said.ReferencedSOPSequence = event.action_information.ReferencedSOPSequence
        status, _ = event.assoc.send_n_event_report(said, 1, StorageCommitmentPushModel, INSTANCE)
        statuses.append(status.Status)
        return 0x0000, None

    statuses: list[int] = []
    kept: list[CommitmentResult] = []
    with peer(answer) as archive:
        assert ask(archive, REQUEST, lambda result: kept.append(result) or ActionStatus.SUCCESS) == 0x0000
    assert kept == [CommitmentResult("1.2.3.9", (IMAGE,), ())]
    assert statuses == [0x0000]


@pytest.mark.parametrize("status", [0x0110, 0x0124])
def test_an_archive_that_refuses(status: int) -> None:
    """Its status is what comes back, at once."""
    with peer(lambda event: (status, None)) as archive:
        assert ask(archive, REQUEST, lambda result: ActionStatus.SUCCESS) == status


def test_a_peer_without_storage_commitment() -> None:
    """A person has to do something: the context is refused, for a request and for a report."""
    with peer() as other:
        with pytest.raises(ContextRefusedError):
            ask(other, REQUEST, lambda result: ActionStatus.SUCCESS)
        with pytest.raises(ContextRefusedError):
            report(other, CommitmentResult("1.2.3.9", (IMAGE,), ()))


def test_a_requester_that_knows_no_roles_is_told_too() -> None:
    """It does not answer the role that we propose, and takes the report all the same."""
    taken: list[int] = []
    entity = AE("CT1")
    entity.add_supported_context(StorageCommitmentPushModel)
    handlers: list[Any] = [(evt.EVT_N_EVENT_REPORT, lambda event: (taken.append(event.event_type) or 0x0000, None))]
    server = entity.start_server(("127.0.0.1", 0), block=False, evt_handlers=handlers)
    try:
        told = Peer("127.0.0.1", int(server.server_address[1]), "CT1", "PACSNODE", timeout=30.0)
        assert report(told, CommitmentResult("1.2.3.9", (), ((IMAGE, 0x0112),))) == 0x0000
    finally:
        server.shutdown()
    assert taken == [2]


def test_a_report_of_many_images() -> None:
    """It does not fit into one PDU, and arrives whole."""
    many = tuple(CommitmentReference(IMAGE.sop_class_uid, f"1.2.840.99999.{number}") for number in range(1_000))
    with Requester() as requester:
        told = Peer("127.0.0.1", requester.port, "CT1", "PACSNODE", timeout=30.0)
        assert report(told, CommitmentResult("1.2.3.9", many, ())) == 0x0000
        assert len(requester.of("1.2.3.9")[0].committed) == 1_000
