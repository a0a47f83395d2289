"""Storage commitment as modalities ask for it: pynetdicom and Orthanc, against a whole node."""

from __future__ import annotations

import json
import re
import socket
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pydicom import Dataset, dcmread
from pydicom.uid import generate_uid
from pynetdicom import AE
from pynetdicom.sop_class import StorageCommitmentPushModel  # type: ignore[attr-defined]

from node.dimse.commitment import PUSH_MODEL, CommitmentReference, CommitmentRequest, action_information
from plugins.phantoms import chest_series
from plugins.phantoms.chest import Chest
from tests.support.dimse.commitment import INSTANCE, Requester, information
from tests.support.dimse.raw_dimse import COMMAND_LAST, DATA, DATA_LAST, EXPLICIT, RawPeer, command, p_data
from tests.support.programs.orthanc import Orthanc
from tests.support.programs.peers import storescu
from tests.support.sites.site import Site
from tests.support.wait import until

CT = "1.2.840.10008.5.1.4.1.1.2"


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    return chest_series.write_series(Chest(size=32, slice_mm=46.0), tmp_path_factory.mktemp("ct"))


@pytest.fixture(scope="module")
def requester() -> Iterator[Requester]:
    with Requester() as asking:
        yield asking


@pytest.fixture(scope="module")
def orthanc(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Orthanc]:
    """Orthanc as a modality that sends and asks; it knows the node's port once that runs."""
    at_once = {"DicomAssociationCloseDelay": 0}
    with Orthanc(tmp_path_factory.mktemp("orthanc"), ae_title="US1", options=at_once) as sender:
        yield sender


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory, requester: Requester, orthanc: Orthanc) -> Iterator[Site]:
    """CT1 and Orthanc (US1) may ask, CT2 may not."""
    us1 = {"ae_title": "US1", "storage_commitment": {"host": "127.0.0.1", "port": orthanc.dicom_port}}
    folder = tmp_path_factory.mktemp("site") / "node"
    with Site(folder, {}, [], modalities={"ct1": requester.settings(), "us1": us1}) as running:
        yield running


def test_reported_on_the_same_association_while_it_lives(site: Site, requester: Requester, files: list[Path]) -> None:
    """Asked right behind the last image, and answered for all of them on the association that is still open."""
    with requester.association(site.port) as association:
        references = requester.send(association, files)
        transaction = requester.ask(association, references)
        (report,) = until(lambda: requester.of(transaction), what="the report")
    assert (report.how, report.event_type) == ("same", 1)
    assert report.committed == {uid for _, uid in references}
    assert report.failed == {}


def test_reported_on_a_new_association_once_the_first_is_released(
    site: Site, requester: Requester, files: list[Path]
) -> None:
    """Released at once: the node calls back, as the AE that was called and as SCP; what never came fails."""
    with requester.association(site.port, takes_reports=False) as association:
        references = requester.send(association, files[:1])
        transaction = requester.ask(association, [*references, (references[0][0], "1.2.3.4.5")])
    (report,) = until(lambda: requester.of(transaction), what="the report")
    assert (report.how, report.calling, report.event_type) == ("new", "PACSNODE", 2)
    assert report.committed == {references[0][1]}
    assert report.failed == {"1.2.3.4.5": 0x0112}


def test_several_requests_on_one_association(site: Site, requester: Requester, files: list[Path]) -> None:
    """The next is asked before the last was reported: the node answers it while it waits for the answer to its own."""
    with requester.association(site.port) as association:
        references = requester.send(association, files[:6])
        transactions = [requester.ask(association, [reference]) for reference in references]
        until(lambda: all(requester.of(each) for each in transactions), what="all reports")
        requester.send(association, files[:1])
    assert [len(requester.of(each)) for each in transactions] == [1] * 6


def test_what_is_not_answered_on_the_association_is_reported_on_another(
    site: Site, requester: Requester, files: list[Path]
) -> None:
    """A modality that refuses reports where it asked, as some do: on a new association, until it takes it."""
    requester.answers = [0x0110, 0x0110]
    with requester.association(site.port) as association:
        transaction = requester.ask(association, requester.send(association, files[:1]))
        until(lambda: len(requester.of(transaction)) == 3, what="the third report")
    assert [report.how for report in requester.of(transaction)] == ["same", "new", "new"]
    assert len({(report.event_type, report.committed) for report in requester.of(transaction)}) == 1


@pytest.mark.parametrize(
    ("asked", "action", "instance", "status"),
    [
        (information([(CT, "1.2.3")], "1.2.3.4"), 1, "1.2.3", 0x0112),
        (information([(CT, "1.2.3")], "1.2.3.4"), 2, INSTANCE, 0x0123),
        (information([], "1.2.3.4"), 1, INSTANCE, 0x0115),
        (information([(CT, "1.2.3")], ""), 1, INSTANCE, 0x0115),
        (information([("", "1.2.3")], "1.2.3.4"), 1, INSTANCE, 0x0115),
    ],
    ids=["instance", "action", "nothing referenced", "no transaction", "no class"],
)
def test_what_cannot_be_carried_out_is_refused_at_once(
    site: Site, requester: Requester, asked: Dataset, action: int, instance: str, status: int
) -> None:
    """With the status that says why, and nothing of it is written down."""
    with requester.association(site.port) as association:
        assert requester.asked(association, asked, action, instance) == status
        assert association.is_established
    assert list((site.data / "journal").iterdir()) == []


@pytest.mark.parametrize(
    "count", [10_001, pytest.param(30_000, marks=pytest.mark.at_night("10,001 references, in the same way"))]
)
def test_finding_m11_a_large_study_is_asked_for_at_once(site: Site, requester: Requester, count: int) -> None:
    """Taken with 0000, and each reference is answered, in one report on the association."""
    names = [f"1.2.826.0.1.3680043.8.498.77.{number:06d}" for number in range(count)]
    request = CommitmentRequest(generate_uid(), tuple(CommitmentReference(CT, name) for name in names))
    encoded = action_information(request, explicit=True)
    action = command(0x0130, e0003=PUSH_MODEL, e0110=1, e1001=INSTANCE, e1008=1)
    with RawPeer(socket.create_connection(("127.0.0.1", site.port), timeout=120)) as peer:
        peer.associate(calling=requester.ae_title.encode(), contexts={1: (PUSH_MODEL, [EXPLICIT])})
        peer.send(p_data(1, COMMAND_LAST, action))
        for start in range(0, len(encoded), 16000):
            peer.send(p_data(1, DATA, encoded[start : start + 16000]))
        peer.send(p_data(1, DATA_LAST, b""))
        assert peer.status() == 0
        [about, said] = peer.message()
        answer = command(0x8100, e0002=PUSH_MODEL, e0120=1, e0800=0x0101, e0900=0, e1000=INSTANCE, e1002=2)
        peer.send(p_data(1, COMMAND_LAST, answer))
        peer.release()
    assert struct.pack("<HHLH", 0, 0x0100, 2, 0x0100) in about
    assert {name.decode() for name in re.findall(rb"1\.2\.826\.0\.1\.3680043\.8\.498\.77\.\d{6}", said)} == set(names)


def test_off_for_whom_it_is_not_meant(site: Site) -> None:
    """CT2 may send; the presentation context for storage commitment is not accepted."""
    entity = AE("CT2")
    entity.add_requested_context(StorageCommitmentPushModel)
    entity.add_requested_context("1.2.840.10008.1.1")
    association = entity.associate("127.0.0.1", site.port, ae_title="PACSNODE")
    assert [str(each.abstract_syntax) for each in association.accepted_contexts] == ["1.2.840.10008.1.1"]
    association.release()


def test_a_duplicate_transaction_uid(site: Site, requester: Requester, files: list[Path]) -> None:
    """The same for other images fails with 0131H; the first has its own report."""
    transaction = generate_uid()
    with requester.association(site.port) as association:
        references = requester.send(association, files[:2])
        for reference in references:
            requester.ask(association, [reference], transaction)
        until(lambda: len(requester.of(transaction)) == 2, what="both reports")
    assert {uid: reason for each in requester.of(transaction) for uid, reason in each.failed.items()} == {
        references[1][1]: 0x0131
    }


def test_orthanc_asks(site: Site, orthanc: Orthanc, files: list[Path]) -> None:
    """Orthanc sends, asks, releases, and takes the report on an association that the node opens to it."""
    orthanc.put("/modalities/node", {"AET": "PACSNODE", "Host": "127.0.0.1", "Port": site.port})
    assert storescu(orthanc.dicom_port, files[:3], called="US1").returncode == 0
    held = [found["ID"] for found in orthanc.find("Instance")]
    orthanc.post("/modalities/node/store", {"Resources": held, "Synchronous": True})
    header = dcmread(files[0], stop_before_pixels=True)
    orphan = {"SOPClassUID": str(header.SOPClassUID), "SOPInstanceUID": "1.2.3.4.5"}
    asked = orthanc.post("/modalities/node/storage-commitment", {"Resources": held, "DicomInstances": [orphan]})
    said = until(lambda: _answered(orthanc, asked["ID"]), what="the report to Orthanc")
    assert said is not None
    assert said["Status"] == "Failure"
    assert {each["SOPInstanceUID"] for each in said["Success"]} == {
        str(dcmread(path, stop_before_pixels=True).SOPInstanceUID) for path in files[:3]
    }
    assert [(each["SOPInstanceUID"], each["FailureReason"]) for each in said["Failures"]] == [("1.2.3.4.5", 0x0112)]


def _answered(orthanc: Orthanc, transaction: str) -> dict[str, Any] | None:
    said: dict[str, object] = orthanc.rest(f"/storage-commitment/{transaction}")
    return said if said["Status"] != "Pending" else None


def test_allowed_while_the_node_runs(site: Site, files: list[Path]) -> None:
    """CT2 is given `storage_commitment` in the file: soon it may ask, and is told, without a restart."""
    with Requester("CT2") as late:
        configuration = json.loads(site.config.read_text())
        configuration["modalities"]["ct2"] = late.settings()
        site.config.write_text(json.dumps(configuration))
        until(lambda: _accepts_commitment(site, "CT2"), what="CT2 to be allowed to ask")
        with late.association(site.port, takes_reports=False) as association:
            transaction = late.ask(association, late.send(association, files[:1]))
        (report,) = until(lambda: late.of(transaction), what="the report")
    assert (report.how, report.event_type) == ("new", 1)


def _accepts_commitment(site: Site, calling: str) -> bool:
    entity = AE(calling)
    entity.add_requested_context(StorageCommitmentPushModel)
    association = entity.associate("127.0.0.1", site.port, ae_title="PACSNODE")
    accepted = association.is_established
    association.release()
    return accepted
